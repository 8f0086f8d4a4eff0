// Lines from a file descriptor, and signals between them.
#pragma once

#include <cstddef>
#include <string>

enum class Input { line, too_long, end, interrupt };

class LineReader {
 public:
  // Of lines from `lines`; a byte that can be read from `wake` says that a signal came (a pipe's end).
  LineReader(int lines, int wake) : lines_(lines), wake_(wake) {}

  // Waits for the next line, without its line feed; one of more than 1 MiB is passed over.
  Input next(std::string *line);
  // Forgets the signals so far.
  void forget_interrupts();

 private:
  static constexpr size_t kLongest = size_t{1} << 20;

  int lines_, wake_;
  std::string rest_;
  bool is_over_ = false, is_too_long_ = false;
};
