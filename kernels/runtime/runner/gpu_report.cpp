#include "gpu_report.h"

#include <cstdio>

#include "rounded.h"

namespace edgekit {

Json GpuCounts::json(int64_t calls) const {
  edgekit_gpu_counts now;
  edgekit_gpu_count(&now);
  const auto each = [&](int64_t after, int64_t before) {
    return rounded(static_cast<double>(after - before) / static_cast<double>(calls));
  };
  Json operators = Json::object();
  for (int place = 0; place < EDGEKIT_GPU_OPERATORS; ++place)
    if (now.calls[place] > before_.calls[place])
      operators[edgekit_gpu_operator(place)] = {{"calls", each(now.calls[place], before_.calls[place])},
                                                {"launches", each(now.launches[place], before_.launches[place])}};
  return {{"operators", std::move(operators)},
          {"hand_overs", each(now.hand_overs, before_.hand_overs)},
          {"bytes_to_gpu", each(now.bytes_to_gpu, before_.bytes_to_gpu)},
          {"bytes_to_cpu", each(now.bytes_to_cpu, before_.bytes_to_cpu)}};
}

Json gpu_json(const Session &session) {
  edgekit_gpu gpu;
  const bool is_used = session.uses_gpu() && edgekit_gpu_find(&gpu);
  if (!is_used && *edgekit_gpu_reason() == '\0') return nullptr;
  if (!is_used) return {{"name", nullptr}, {"reason", edgekit_gpu_reason()}};
  return {{"name", gpu.name},
          {"compute_capability", format("%d.%d", gpu.major, gpu.minor)},
          {"driver", format("%d.%d", gpu.driver / 1000, gpu.driver % 1000 / 10)},
          {"integrated", gpu.integrated},
          {"reason", nullptr}};
}

void print_gpu(const Json &gpu, const Json &cases) {
  if (gpu["name"].is_null()) return;
  std::printf("GPU: %s", gpu["name"].get<std::string>().c_str());
  for (const Json &timed : cases) {
    const Json &used = timed["gpu"];
    double launches = 0;
    for (const Json &counts : used["operators"]) launches += counts["launches"].get<double>();
    std::printf("; %s: %.4g launches, %.4g hand-overs, %.4g kB to it, %.4g kB back", timed["name"].get<std::string>().c_str(),
                launches, used["hand_overs"].get<double>(), 1e-3 * used["bytes_to_gpu"].get<double>(),
                1e-3 * used["bytes_to_cpu"].get<double>());
  }
  std::printf("\n");
}

}  // namespace edgekit
