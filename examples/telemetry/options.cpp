#include "options.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace {

constexpr char kHelp[] =
    "usage: telemetry BUNDLE [OPTIONS]\n"
    "\n"
    "Scores sensor rows that come over MQTT by a bundle for anomaly detection, and sends alarms.\n"
    "\n"
    "  --host HOST, --port N   the broker (localhost, 1883)\n"
    "  --id NAME               keep a session of this name at the broker: rows wait there while this program is away\n"
    "  --user NAME             the password is taken from the environment's MQTT_PASSWORD\n"
    "  --rows FILTER           topics of the rows; a machine is what the wildcards stand for (plant/+/rows)\n"
    "  --alarms TOPIC          where alarms go (plant/{machine}/alarms)\n"
    "  --scores TOPIC          where every score goes, such as plant/{machine}/scores (nowhere)\n"
    "  --status TOPIC          online or offline, with counters; kept by the broker (plant/status)\n"
    "  --status-every S        seconds between two of them (10)\n"
    "  --threshold T           a name of the bundle's thresholds, or a number (the bundle's own)\n"
    "  --max-gap T             a longer gap between two rows empties the window, in the rows' unit; 0: none (60)\n"
    "  --quiet-rows N          rows without an alarm that end an episode (10)\n"
    "  --top N                 channels that an alarm names (5)\n"
    "  --max-machines N        rows of more are left out (64)\n"
    "  --max-queued N          alarms that wait for the broker; the oldest go first (1000)\n"
    "  --threads N             of the program (1)\n"
    "  --together N            telemetry_lines: lines that are scored together (1)\n";

[[noreturn]] void refuse(const std::string &what) {
  std::fprintf(stderr, "%s; see --help.\n", what.c_str());
  std::exit(2);
}

double number(const std::string &option, const char *text, double least, double most) {
  char *end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != '\0' || !(value >= least && value <= most))
    refuse(option + " takes a number from " + std::to_string(static_cast<long>(least)) + " on");
  return value;
}

int whole(const std::string &option, const char *text, int least, int most) {
  const double value = number(option, text, least, most);
  if (value != std::floor(value)) refuse(option + " takes a whole number");
  return static_cast<int>(value);
}

void check_topic(const std::string &option, const std::string &topic) {
  if (topic.empty() || topic.size() > 1024 || topic.find_first_of("+#") != std::string::npos)
    refuse(option + " is a topic without wildcards, of 1 to 1024 bytes");
}

}  // namespace

Options read_options(int count, char **arguments) {
  constexpr int kMany = 1000000;
  Options options;
  GatewayOptions &gateway = options.gateway;
  for (int place = 1; place < count; ++place) {
    const std::string word = arguments[place];
    if (word == "--help") {
      std::fputs(kHelp, stdout);
      std::exit(0);
    }
    if (word.compare(0, 2, "--") != 0) {
      if (!options.bundle.empty()) refuse("one bundle is needed, two were given");
      options.bundle = word;
      continue;
    }
    if (place + 1 == count) refuse("'" + word + "' is unknown, or its value is missing");
    const char *value = arguments[++place];
    if (word == "--host") options.host = value;
    else if (word == "--port") options.port = whole(word, value, 1, 65535);
    else if (word == "--id") options.id = value;
    else if (word == "--user") options.user = value;
    else if (word == "--rows") gateway.rows = value;
    else if (word == "--alarms") gateway.alarms = value;
    else if (word == "--scores") gateway.scores = value;
    else if (word == "--status") options.status = value;
    else if (word == "--status-every") options.status_every = whole(word, value, 1, kMany);
    else if (word == "--threshold") gateway.threshold = value;
    else if (word == "--max-gap") gateway.machine.max_gap = number(word, value, 0, std::numeric_limits<double>::max());
    else if (word == "--quiet-rows") gateway.machine.quiet_rows = whole(word, value, 1, kMany);
    else if (word == "--top") gateway.machine.top = whole(word, value, 0, kMany);
    else if (word == "--max-machines") gateway.max_machines = static_cast<size_t>(whole(word, value, 1, kMany));
    else if (word == "--max-queued") options.max_queued = static_cast<size_t>(whole(word, value, 1, kMany));
    else if (word == "--threads") options.threads = whole(word, value, 0, 1024);
    else if (word == "--together") options.together = whole(word, value, 1, kMany);
    else refuse("'" + word + "' is unknown");
  }
  if (options.bundle.empty()) refuse("a bundle is needed");
  if (gateway.rows.empty()) refuse("--rows is empty");
  check_topic("--alarms", gateway.alarms);
  check_topic("--status", options.status);
  if (!gateway.scores.empty()) check_topic("--scores", gateway.scores);
  return options;
}
