// The same without a network: lines "TOPIC PAYLOAD" from stdin (as `mosquitto_sub -v` prints them), answers to stdout.
#include <edgekit/session.h>

#include <iostream>

#include "gateway.h"

int main(int count, char **arguments) {
  const Options options = read_options(count, arguments);
  const edgekit::SessionPointer session = edgekit::Session::open(options.bundle.c_str());
  if (!session || !edgekit::set_threads(options.threads))
    return std::fprintf(stderr, "%s\n", edgekit::last_error()), edgekit::last_error_is_usage() ? 2 : 1;
  const auto print = [](Weight, const std::string &topic, const std::string &payload) {
    std::cout << topic << ' ' << payload << '\n';
  };
  const std::unique_ptr<Gateway> gateway = Gateway::make(session.get(), options.gateway, print);
  if (!gateway) return edgekit::last_error_is_usage() ? 2 : 1;
  std::ios::sync_with_stdio(false);
  std::string line;
  for (int lines = 1; std::getline(std::cin, line); ++lines) {
    const size_t end = line.find(' ');
    if (end == std::string::npos) continue;
    gateway->take(line.substr(0, end), line.data() + end + 1, line.size() - end - 1);
    if (lines % options.together == 0) gateway->score();
  }
  gateway->stop();
  std::cout << options.status << ' ' << gateway->status({"offline", 0, 0, 0}) << '\n';
  return 0;
}
