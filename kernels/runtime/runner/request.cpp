#include "request.h"

#include <getopt.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/failure.h"
#include "edgekit/session.h"

namespace edgekit {
namespace {

constexpr char kHelp[] =
    "Usage: edgekit-run [BUNDLE] [OPTIONS]\n"
    "\n"
    "Runs a bundle on a file or a prompt. Without BUNDLE it is the folder that this program lies in.\n"
    "\n"
    "  --input FILE           A series (.csv, .npy), an image (PNG, JPEG, BMP; may be repeated), a prompt (.txt), or\n"
    "                         one .npy for each input of your own module.\n"
    "  --output FILE          Anomalies: every row's answer (.csv, .json). Objects: the mask (.png) or the list (.csv,\n"
    "                         .json). Tensors: a folder for one .npy for each output.\n"
    "  --picture FILE.png     Objects: the image with what was found.\n"
    "  --threshold NAME|X     Alarm above this score, or the fitted threshold of that name; objects: above this logit.\n"
    "  --size HxW             Objects: which of the bundle's frame sizes.\n"
    "  --fit resize|pad|tile  Objects: how an image comes to the frame size; default: resize.\n"
    "  --prompt TEXT          Text: what to go on with.\n"
    "  --max-tokens N         Text: most tokens to add; default: 100.\n"
    "  --temperature T        Text: 0 takes the likeliest token, which is the default; higher is more varied.\n"
    "  --seed N               Text: of the draws; default: 0.\n"
    "  --bench [N]            Time N runs (default: 50) of a method on zeros instead: load, first run, percentiles,\n"
    "                         memory by part.\n"
    "  --method NAME          Of --bench; default: all are loaded, the first is timed.\n"
    "  --threads N            Threads that operators share; default: what the runtime chooses.\n"
    "  --force                Replace files that exist.\n"
    "  --json                 Print JSON.\n"
    "  -q, --quiet            Print results only.\n"
    "  -v, --verbose          Print what the runtime logs, to stderr.\n"
    "  --version              Print the version.\n"
    "  -h, --help             Print this.\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.\n";

enum Long : int {
  kInput = 256, kOutput, kPicture, kThreshold, kSize, kFit, kPrompt, kMaxTokens, kTemperature, kSeed, kBench, kMethod,
  kThreads, kForce, kJson, kVersion
};

constexpr option kOptions[] = {{"input", required_argument, nullptr, kInput},
                               {"output", required_argument, nullptr, kOutput},
                               {"picture", required_argument, nullptr, kPicture},
                               {"threshold", required_argument, nullptr, kThreshold},
                               {"size", required_argument, nullptr, kSize},
                               {"fit", required_argument, nullptr, kFit},
                               {"prompt", required_argument, nullptr, kPrompt},
                               {"max-tokens", required_argument, nullptr, kMaxTokens},
                               {"temperature", required_argument, nullptr, kTemperature},
                               {"seed", required_argument, nullptr, kSeed},
                               {"bench", optional_argument, nullptr, kBench},
                               {"method", required_argument, nullptr, kMethod},
                               {"threads", required_argument, nullptr, kThreads},
                               {"force", no_argument, nullptr, kForce},
                               {"json", no_argument, nullptr, kJson},
                               {"quiet", no_argument, nullptr, 'q'},
                               {"verbose", no_argument, nullptr, 'v'},
                               {"version", no_argument, nullptr, kVersion},
                               {"help", no_argument, nullptr, 'h'},
                               {nullptr, 0, nullptr, 0}};

const char *name_of_option(int value) {
  for (const option &known : kOptions)
    if (known.name != nullptr && known.val == value) return known.name;
  return "?";
}

template <typename T>
T number(int option, const char *text, T least, const char *wanted) {
  T value{};
  const char *end = text + std::strlen(text);
  const auto read = std::from_chars(text, end, value);
  if (read.ec != std::errc() || read.ptr != end || !(value >= least))
    throw UsageFailure(format("--%s %s: give %s.", name_of_option(option), text, wanted));
  return value;
}

int64_t count(int option, const char *text, int64_t least) {
  return number<int64_t>(option, text, least, least == 0 ? "a whole number, 0 or more" : "a whole number, 1 or more");
}

// The folder of this program, if it is a bundle.
std::string own_folder() {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
  if (size <= 0) return "";
  std::string folder(path, static_cast<size_t>(size));
  folder.resize(folder.rfind('/'));
  return access((folder + "/manifest.json").c_str(), R_OK) == 0 ? folder : "";
}

}  // namespace

Request read_request(int count_of_arguments, char **arguments) {
  Request request;
  opterr = 0;
  int option;
  while ((option = getopt_long(count_of_arguments, arguments, "+:hqv", kOptions, nullptr)) != -1 ||
         optind < count_of_arguments) {
    if (option == -1) {  // a word that is no option, wherever it stands
      if (!request.bundle.empty()) throw UsageFailure(format("%s: one bundle is taken.", arguments[optind]));
      request.bundle = arguments[optind++];
      continue;
    }
    switch (option) {
      case kInput: request.inputs.emplace_back(optarg); break;
      case kOutput: request.output = optarg; break;
      case kPicture: request.picture = optarg; break;
      case kThreshold: request.threshold = optarg; break;
      case kSize: request.size = optarg; break;
      case kFit: request.fit = optarg; break;
      case kPrompt: request.prompt = optarg; break;
      case kMaxTokens: request.max_tokens = count(option, optarg, 1); break;
      case kTemperature: request.temperature = number<double>(option, optarg, 0, "a number, 0 or more"); break;
      case kSeed: request.seed = count(option, optarg, 0); break;
      case kMethod: request.method = optarg; break;
      case kThreads: request.threads = count(option, optarg, 1); break;
      case kBench:
        // A number may stand behind it as a word of its own.
        if (optarg == nullptr && optind < count_of_arguments && std::isdigit(*arguments[optind]))
          optarg = arguments[optind++];
        request.bench = optarg == nullptr ? 50 : count(option, optarg, 1);
        break;
      case kForce: request.force = true; break;
      case kJson: request.json = true; break;
      case 'q': request.quiet = true; break;
      case 'v': request.verbose = true; break;
      case kVersion: std::printf("edgekit-run %s\n", runtime_version()); std::exit(0);
      case 'h': std::fputs(kHelp, stdout); std::exit(0);
      case ':': throw UsageFailure(format("%s needs a value: --help shows how.", arguments[optind - 1]));
      default: throw UsageFailure(format("there is no option %s: --help shows all.", arguments[optind - 1]));
    }
  }
  if (request.bundle.empty()) request.bundle = own_folder();
  if (request.bundle.empty()) throw UsageFailure("no bundle was given: edgekit-run BUNDLE --input FILE.");
  return request;
}

void take_only(const Request &request, std::initializer_list<const char *> options) {
  const std::pair<const char *, bool> given[] = {
      {"input", !request.inputs.empty()}, {"output", request.output.has_value()},
      {"picture", request.picture.has_value()}, {"threshold", request.threshold.has_value()},
      {"size", request.size.has_value()}, {"fit", request.fit.has_value()}, {"prompt", request.prompt.has_value()},
      {"max-tokens", request.max_tokens.has_value()}, {"temperature", request.temperature.has_value()},
      {"seed", request.seed.has_value()}, {"method", request.method.has_value()}};
  for (const auto &[name, is_given] : given) {
    const bool taken = std::any_of(options.begin(), options.end(),
                                   [&, name = name](const char *option) { return std::strcmp(option, name) == 0; });
    if (is_given && !taken)
      throw UsageFailure(format("--%s does not belong to this bundle's task: leave it out.", name));
  }
}

void check_free(const Request &request, const std::string &path) {
  if (!request.force && access(path.c_str(), F_OK) == 0)
    throw UsageFailure(format("%s exists: choose another file, or replace it with --force.", path.c_str()));
}

}  // namespace edgekit
