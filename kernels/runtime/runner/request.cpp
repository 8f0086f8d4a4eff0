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
#include "cpu_mask.h"
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
    "  --explain              Text: of each token, what the model thought of; of bundles with features.\n"
    "  --steer FEATURE=KL     Text: more of a feature (4:12 is number 12 of layer 4), or with -KL less, so that the next\n"
    "                         token changes by KL nats; may be repeated.\n"
    "  --bench [N]            Time N runs (default: 50) of each method on zeros instead, or of a text's prompt and\n"
    "                         token: load, first run, percentiles, memory by part, temperature and clocks.\n"
    "  --warmup N             Of --bench: runs before those that are timed; default: 5.\n"
    "  --operators            Of --bench: also N runs with every operator timed, between as many without.\n"
    "  --method NAME          Of --bench: this one alone.\n"
    "  --peaks                Measure this machine instead, without a bundle: arithmetic, memory, cost of a launch.\n"
    "  --gpu auto|off|on      Operators on an NVIDIA GPU: where the device's profile says that it pays, which is the\n"
    "                         default, none, or all that it has kernels for.\n"
    "  --require-signature FILE.pub\n"
    "                         Refuse a bundle that was not signed with one of the keys in FILE.pub.\n"
    "  --threads N            Threads that operators share; default: what the runtime chooses.\n"
    "  --cpu-mask HEX         Cores to run on, a bit for each: 3 is the first two; one thread for each of them.\n"
    "  --force                Replace files that exist.\n"
    "  --json                 Print JSON.\n"
    "  -q, --quiet            Print results only.\n"
    "  -v, --verbose          Print what the runtime logs, to stderr.\n"
    "  --version              Print the version.\n"
    "  -h, --help             Print this.\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.\n";

enum Long : int {
  kInput = 256, kOutput, kPicture, kThreshold, kSize, kFit, kPrompt, kMaxTokens, kTemperature, kSeed, kExplain, kSteer, kBench,
  kWarmup, kOperators, kMethod, kGpu, kThreads, kCpuMask, kPeaks, kRequireSignature, kForce, kJson, kVersion
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
                               {"explain", no_argument, nullptr, kExplain},
                               {"steer", required_argument, nullptr, kSteer},
                               {"bench", optional_argument, nullptr, kBench},
                               {"warmup", required_argument, nullptr, kWarmup},
                               {"operators", no_argument, nullptr, kOperators},
                               {"method", required_argument, nullptr, kMethod},
                               {"gpu", required_argument, nullptr, kGpu},
                               {"threads", required_argument, nullptr, kThreads},
                               {"cpu-mask", required_argument, nullptr, kCpuMask},
                               {"peaks", no_argument, nullptr, kPeaks},
                               {"require-signature", required_argument, nullptr, kRequireSignature},
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

std::pair<std::string, double> amount(int option, const char *text) {
  const char *const mark = std::strrchr(text, '='), *const end = text + std::strlen(text);
  double kl = 0;
  const bool is_whole = mark != nullptr && mark != text;
  const auto read = is_whole ? std::from_chars(mark + 1, end, kl) : std::from_chars_result{text, std::errc::invalid_argument};
  if (read.ec != std::errc() || read.ptr != end)
    throw UsageFailure(format("--%s %s: give a feature and a KL, such as 12=0.1.", name_of_option(option), text));
  return {std::string(text, mark), kl};
}

edgekit_gpu_use gpu_use(const char *text) {
  const std::pair<const char *, edgekit_gpu_use> known[] = {
      {"auto", EDGEKIT_GPU_WHERE_IT_PAYS}, {"off", EDGEKIT_GPU_NEVER}, {"on", EDGEKIT_GPU_ALWAYS}};
  for (const auto &[name, use] : known)
    if (std::strcmp(name, text) == 0) return use;
  throw UsageFailure(format("--gpu %s: give auto, off or on.", text));
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
      case kExplain: request.explain = true; break;
      case kSteer: request.steer.push_back(amount(option, optarg)); break;
      case kMethod: request.method = optarg; break;
      case kGpu: request.gpu = gpu_use(optarg); break;
      case kThreads: request.threads = count(option, optarg, 1); break;
      case kCpuMask: request.cores = cores_of_mask(optarg); break;
      case kWarmup: request.warmup = count(option, optarg, 0); break;
      case kOperators: request.operators = true; break;
      case kBench:
        // A number may stand behind it as a word of its own.
        if (optarg == nullptr && optind < count_of_arguments && std::isdigit(*arguments[optind]))
          optarg = arguments[optind++];
        request.bench = optarg == nullptr ? 50 : count(option, optarg, 1);
        break;
      case kPeaks: request.peaks = true; break;
      case kRequireSignature: request.public_key = optarg; break;
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
  if (!request.bench && (request.warmup || request.operators))
    throw UsageFailure(format("--%s belongs to --bench: give both, or leave it out.",
                              name_of_option(request.warmup ? kWarmup : kOperators)));
  if (request.peaks) {
    if (!request.bundle.empty() || request.bench)
      throw UsageFailure("--peaks measures the machine: give it no bundle and no --bench.");
    return request;
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
      {"seed", request.seed.has_value()}, {"explain", request.explain}, {"steer", !request.steer.empty()}, {"method", request.method.has_value()}};
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
