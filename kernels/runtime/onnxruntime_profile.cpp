#include "onnxruntime_profile.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>

#include "core/json.h"

namespace edgekit {
namespace {

// A trace as Chrome has it: a list of objects, times in whole microseconds. Of a node that ran there is one whose name
// ends so; after a run's nodes comes the run.
constexpr std::string_view kNode = "_kernel_time", kRun = "model_run";
constexpr char kTensorRt[] = "TensorrtExecutionProvider";

struct Reader {
  Reader(const std::vector<size_t> &places_in_log, TraceLog &to) : places(places_in_log), log(to) {}

  const std::vector<size_t> &places;
  TraceLog &log;
  size_t runs = 0;
  std::vector<TraceEvent> events;  // of the run that is being read, in ONNX Runtime's time

  void add(const Json &object) {
    const auto name_of = object.find("name"), at = object.find("ts"), took = object.find("dur");
    if (name_of == object.end() || !name_of->is_string() || at == object.end() || !at->is_number() ||
        took == object.end() || !took->is_number())
      return;
    const std::string_view name = name_of->get_ref<const std::string &>();
    if (name == kRun) {
      end_run(at->get<double>());
    } else if (name.size() > kNode.size() && name.substr(name.size() - kNode.size()) == kNode) {
      add_node(name.substr(0, name.size() - kNode.size()), object.value("args", Json::object()), *at, *took);
    }
  }

  void add_node(std::string_view name, const Json &more, double start, double us) {
    const auto text = [&](const char *key) { return more.value(key, std::string()); };
    const bool is_engine = text("provider") == kTensorRt;
    const int64_t index = std::strtoll(text("node_index").c_str(), nullptr, 10);
    events.push_back({is_engine ? EventKind::delegate : EventKind::call, -1, index,
                      log.names.keep(is_engine ? kTensorRt : text("op_name")), log.names.keep(name), start, us});
  }

  void end_run(double start) {
    // A node that runs a graph comes after the nodes of that graph, which are a part of it.
    std::stable_sort(events.begin(), events.end(), [](const TraceEvent &one, const TraceEvent &other) {
      return one.start_us != other.start_us ? one.start_us < other.start_us : one.us > other.us;
    });
    std::vector<TraceEvent> kept;
    double end = start;
    for (TraceEvent event : events) {
      if (!kept.empty() && event.start_us + event.us <= end && event.start_us < end) continue;
      end = event.start_us + event.us;
      event.start_us -= start;
      kept.push_back(event);
    }
    if (runs < places.size() && places[runs] != kNoPlace) log.runs[places[runs]].events = std::move(kept);
    ++runs;
    events.clear();
  }
};

}  // namespace

ProfileFolder::ProfileFolder() {
  const char *given = std::getenv("TMPDIR");
  folder_ = std::string(given != nullptr && *given != '\0' ? given : "/tmp") + "/edgekit-profile-XXXXXX";
  if (mkdtemp(folder_.data()) == nullptr)
    throw Failure(format("%s cannot be made (%s): name a folder that can be written in TMPDIR, ONNX Runtime's profile "
                         "goes through a file.",
                         folder_.c_str(), std::strerror(errno)));
}

ProfileFolder::~ProfileFolder() {
  if (DIR *opened = opendir(folder_.c_str())) {
    while (const dirent *entry = readdir(opened)) unlink((folder_ + "/" + entry->d_name).c_str());
    closedir(opened);
  }
  rmdir(folder_.c_str());
}

void read_profile(const std::string &file, const std::vector<size_t> &places, TraceLog &log) {
  std::ifstream stream(file, std::ios::binary);
  Reader reader(places, log);
  // An event is dropped when it was read: there are many.
  const auto take = [&](int depth, Json::parse_event_t event, Json &value) {
    if (depth != 1 || event != Json::parse_event_t::object_end) return true;
    reader.add(value);
    return false;
  };
  const Json rest = Json::parse(stream, take, false);
  if (rest.is_discarded() || reader.runs != places.size())
    throw Failure(format("ONNX Runtime's profile has %zu runs of %zu: free some space in TMPDIR's folder, or take fewer.",
                         reader.runs, places.size()));
}

}  // namespace edgekit
