#include "conversation_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace {

constexpr char kMagic[] = "edgekit talk 1\n";  // 16 bytes with the zero at its end
constexpr size_t kNumbers = 5;
constexpr size_t kHeader = sizeof kMagic + kNumbers * 8, kChecksum = 8;

uint64_t hash(const char *bytes, size_t size) {
  uint64_t sum = 0xCBF29CE484222325u;
  for (size_t place = 0; place < size; ++place) sum = (sum ^ static_cast<uint8_t>(bytes[place])) * 0x100000001B3u;
  return sum;
}

void append(std::string &to, uint64_t number) {
  for (int byte = 0; byte < 8; ++byte) to += static_cast<char>(number >> 8 * byte);
}

uint64_t number_at(const std::string &from, size_t place) {
  uint64_t number = 0;
  for (size_t byte = 8; byte-- > 0;) number = number << 8 | static_cast<uint8_t>(from[place + byte]);
  return number;
}

struct Close {
  void operator()(std::FILE *file) const { std::fclose(file); }
};

std::string damaged(const std::string &file) {
  return file + " is damaged or cut short: save the conversation again, or take a copy of it.";
}

// At most `most` bytes and some; false where it cannot be read.
bool read_file(const std::string &path, size_t most, std::string *content, std::string *why) {
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  char part[1 << 16];
  size_t got = 1;
  while (file && got > 0 && content->size() <= most) {
    got = std::fread(part, 1, sizeof part, file.get());
    content->append(part, got);
  }
  if (file && std::ferror(file.get()) == 0) return true;
  *why = path + " cannot be read (" + std::strerror(errno) + "): give the file of a saved conversation.";
  return false;
}

}  // namespace

uint64_t fingerprint(const std::string &text) { return hash(text.data(), text.size()); }

bool write_conversation(const std::string &file, const KeptConversation &kept, std::string *why) {
  std::string content(kMagic, sizeof kMagic);
  for (const uint64_t number : {kept.bundle, kept.turns, static_cast<uint64_t>(kept.held), uint64_t{kept.tokens.size()},
                                uint64_t{kept.state.size()}})
    append(content, number);
  for (const int64_t token : kept.tokens) append(content, static_cast<uint64_t>(token));
  content.append(kept.state.data(), kept.state.size());
  append(content, hash(content.data(), content.size()));

  const std::string temporary = file + "." + std::to_string(getpid()) + ".partial";
  std::FILE *to = std::fopen(temporary.c_str(), "wb");
  bool done = to != nullptr && std::fwrite(content.data(), 1, content.size(), to) == content.size();
  if (to != nullptr) done = std::fclose(to) == 0 && done;
  if (done && std::rename(temporary.c_str(), file.c_str()) == 0) return true;
  *why = file + " cannot be written (" + std::strerror(errno) + "): choose another file.";
  std::remove(temporary.c_str());
  return false;
}

bool read_conversation(const std::string &file, const ConversationLimits &limits, KeptConversation *kept,
                       std::string *why) {
  const size_t most_tokens = static_cast<size_t>(limits.context) + 1;
  const size_t most = kHeader + 8 * most_tokens + limits.state_bytes + kChecksum;
  std::string content;
  if (!read_file(file, most, &content, why)) return false;
  if (content.compare(0, sizeof kMagic, kMagic, sizeof kMagic) != 0) {
    *why = file + " is not a conversation that was saved here: give the file of one.";
    return false;
  }
  if (content.size() < kHeader + kChecksum) {
    *why = damaged(file);
    return false;
  }
  uint64_t numbers[kNumbers];
  for (size_t index = 0; index < kNumbers; ++index) numbers[index] = number_at(content, sizeof kMagic + 8 * index);
  const auto [bundle, turns, held, count, bytes] = numbers;
  if (bundle != limits.bundle) {
    *why = file + " is a conversation with another bundle: open the bundle that it was saved with.";
    return false;
  }
  const size_t end = content.size() - kChecksum;
  bool fits = count <= most_tokens && held <= std::min(count, static_cast<uint64_t>(limits.context)) &&
              bytes == limits.state_bytes && end == kHeader + 8 * count + bytes &&
              hash(content.data(), end) == number_at(content, end);
  std::vector<int64_t> tokens;
  for (size_t index = 0; fits && index < count; ++index) {
    const uint64_t token = number_at(content, kHeader + 8 * index);
    fits = token < static_cast<uint64_t>(limits.vocabulary);
    tokens.push_back(static_cast<int64_t>(token));
  }
  if (!fits) {
    *why = damaged(file);
    return false;
  }
  const char *state = content.data() + kHeader + 8 * count;
  *kept = {bundle, turns, static_cast<int64_t>(held), std::move(tokens), {state, state + bytes}};
  return true;
}
