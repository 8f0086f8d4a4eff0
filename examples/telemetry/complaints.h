// What is wrong with what comes in: said on stderr, each kind now and then.
#ifndef TELEMETRY_COMPLAINTS_H
#define TELEMETRY_COMPLAINTS_H

#include <chrono>
#include <cstdio>
#include <map>
#include <string>

class Complaints {
 public:
  // `kind` is one of few; of `what` the first in ten seconds is said.
  void say(const char *kind, const std::string &what) {
    const auto now = std::chrono::steady_clock::now();
    Kind &of = kinds_[kind];
    ++of.count;
    if (of.said && now - of.last < std::chrono::seconds(10)) return;
    const long more = of.count - of.told - 1;
    std::fprintf(stderr, "telemetry: %s%s\n", what.c_str(),
                 more > 0 ? (" (and " + std::to_string(more) + " before it)").c_str() : "");
    of.said = true;
    of.told = of.count;
    of.last = now;
  }

 private:
  struct Kind {
    bool said = false;
    long count = 0, told = 0;
    std::chrono::steady_clock::time_point last;
  };
  std::map<std::string, Kind> kinds_;
};

#endif  // TELEMETRY_COMPLAINTS_H
