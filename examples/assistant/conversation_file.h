// The file of a conversation: its tokens and the session's state, with what tells whether they fit.
//
// Numbers are little-endian, 8 bytes each but for the state:
//
//     "edgekit talk 1\n\0"  bundle  turns  held  count  bytes  tokens (count)  state (bytes)  checksum
//
// The checksum finds damage, not intent: a file that somebody else could have written is to be trusted as its writer
// is. What is in it is checked all the same, and nothing is allocated for a size that it only claims.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

struct KeptConversation {
  uint64_t bundle = 0;  // fingerprint of its manifest
  uint64_t turns = 0;
  int64_t held = 0;  // tokens that the state has
  std::vector<int64_t> tokens;
  std::vector<char> state;
};

// What a conversation must fit.
struct ConversationLimits {
  uint64_t bundle;
  int64_t context, vocabulary;
  size_t state_bytes;
};

// FNV-1a of a text, 64 bits.
uint64_t fingerprint(const std::string &text);

// False with a sentence in `why` where it fails; the file is then what it was before.
bool write_conversation(const std::string &file, const KeptConversation &kept, std::string *why);
bool read_conversation(const std::string &file, const ConversationLimits &limits, KeptConversation *kept,
                       std::string *why);
