// Ed25519 (RFC 8032): whether a message was signed with a key.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace edgekit {

using PublicKey = std::array<uint8_t, 32>;
using Signature = std::array<uint8_t, 64>;

// Whether a key can belong to somebody: it is a point in its one spelling, and not one of the eight of small order, with
// which a signature fits any message.
bool is_sound(const PublicKey &key);

// Whether the signature is the key's, of exactly this message. S must be below the group's order, so that a signature
// cannot be turned into another one.
bool verifies(const Signature &signature, const PublicKey &key, const std::string &message);

}  // namespace edgekit
