// The threads that operators share, and who is running in them.
#pragma once

namespace edgekit {

// Lives while a session runs: the threads are not changed meanwhile.
class Running {
 public:
  Running();
  ~Running();
  Running(const Running &) = delete;
  Running &operator=(const Running &) = delete;
};

// How often the threads were changed so far: what was made with those of before is made anew.
unsigned thread_changes();

}  // namespace edgekit
