// The outbox of examples/telemetry against what a broker and a lost connection do to it; 0: as it should be.
#include "outbox.h"

#include <cstdio>
#include <vector>

namespace {

int faults = 0;

void must(bool holds, const char *what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  ++faults;
}

// Takes so many messages, and remembers them.
struct Broker {
  int left;
  std::vector<std::string> taken;
  int publish(const std::string &payload) {
    if (left == 0) return 0;
    --left;
    taken.push_back(payload);
    return static_cast<int>(taken.size());
  }
};

}  // namespace

int main() {
  Outbox outbox(40);
  for (int index = 0; index < 50; ++index) outbox.add("alarms", std::to_string(index));
  must(outbox.size() == 40 && outbox.dropped() == 10, "it keeps 40, and drops the oldest");

  Broker first{3, {}};
  const auto to_first = [&](const std::string &, const std::string &payload) { return first.publish(payload); };
  outbox.hand_over(to_first);
  outbox.hand_over(to_first);
  must(first.taken == std::vector<std::string>{"10", "11", "12"}, "in order, each once");
  outbox.confirm(2);
  outbox.confirm(2);
  outbox.confirm(77);
  must(outbox.size() == 39, "a confirmed message goes, once");

  outbox.begin_anew();
  Broker second{1000, {}};
  const auto to_second = [&](const std::string &, const std::string &payload) { return second.publish(payload); };
  outbox.hand_over(to_second);
  must(second.taken.size() == 16 && second.taken[0] == "10" && second.taken[1] == "12",
       "what was not confirmed goes again, few at a time");
  for (int number = 1; outbox.size() > 0 && number < 100; ++number) {
    outbox.confirm(number);
    outbox.hand_over(to_second);
  }
  must(second.taken.size() == 39 && second.taken.back() == "49", "then the rest");
  return faults;
}
