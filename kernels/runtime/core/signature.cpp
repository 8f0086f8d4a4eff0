#include "signature.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "ed25519.h"
#include "files.h"
#include "json.h"
#include "sha256.h"
#include "text.h"

namespace edgekit {
namespace {

constexpr uint64_t kLargestSignature = 4096, kLargestKeys = 1 << 16;
// What is signed is this and the manifest's bytes: no signature of anything else fits.
constexpr char kDomain[] = "edgekit bundle manifest, signature 1\n";
constexpr char kFileText[] =
    "{\n  \"algorithm\": \"ed25519\",\n  \"key\": \"%s\",\n  \"schema\": 1,\n  \"signature\": \"%s\"\n}\n";
constexpr char kBegin[] = "-----BEGIN PUBLIC KEY-----", kEnd[] = "-----END PUBLIC KEY-----";
// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
constexpr uint8_t kKeyHead[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

// The bytes of base64 that is spelled in its one way (RFC 4648), with nothing between; false if it is not.
bool decode(const std::string &text, std::string &bytes) {
  static const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.empty() || text.size() % 4 != 0) return false;
  const size_t padding = text[text.size() - 1] != '=' ? 0 : text[text.size() - 2] != '=' ? 1 : 2;
  uint32_t held = 0, bits = 0;
  for (size_t at = 0; at < text.size() - padding; ++at) {
    const size_t value = alphabet.find(text[at]);
    if (value == std::string::npos) return false;
    held = held << 6 | static_cast<uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(held >> bits & 0xff);
  }
  return (held & ((1u << bits) - 1)) == 0;
}

// How a key is called: the first half of its SHA-256.
std::string id_of(const PublicKey &key) {
  Sha256 hash;
  hash.add(key.data(), key.size());
  return hash.hex().substr(0, 32);
}

std::vector<PublicKey> read_keys(const std::string &file) {
  const Failure wrong(format("%s is no file of Ed25519 public keys (PEM): `edgekit bundle keygen` makes one.", file.c_str()));
  if (!is_file(file)) throw UsageFailure(format("there is no public key %s: check the path.", file.c_str()));
  const std::string text = read_file(file, kLargestKeys);
  std::vector<PublicKey> keys;
  for (size_t at = text.find(kBegin); at != std::string::npos; at = text.find(kBegin, at)) {
    const size_t begin = at + sizeof kBegin - 1, end = text.find(kEnd, begin);
    if (end == std::string::npos) throw wrong;
    std::string letters, bytes;
    for (const char c : text.substr(begin, end - begin))
      if (c != '\n' && c != '\r') letters += c;
    if (!decode(letters, bytes) || bytes.size() != sizeof kKeyHead + sizeof(PublicKey) ||
        !std::equal(std::begin(kKeyHead), std::end(kKeyHead), bytes.begin(),
                    [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); }))
      throw wrong;
    PublicKey key;
    std::copy(bytes.begin() + sizeof kKeyHead, bytes.end(), key.begin());
    if (!is_sound(key)) throw wrong;
    keys.push_back(key);
    at = end;
  }
  if (keys.empty()) throw wrong;
  return keys;
}

}  // namespace

std::string required_by_environment() {
  const char *file = std::getenv("EDGEKIT_REQUIRE_SIGNATURE");
  return file == nullptr ? "" : file;
}

void check_signature(const std::string &folder, const std::string &manifest, const std::string &key_file) {
  const std::vector<PublicKey> keys = read_keys(key_file);
  const std::string file = folder + "/" + kSignatureName;
  if (is_link(file) || !is_file(file))
    throw Failure(format("%s is not signed, and a signature is required: take a bundle that `edgekit bundle sign` signed.",
                         folder.c_str()));
  const std::string text = read_file(file, kLargestSignature);
  const Json fields = parse_json(text);
  const Failure damaged(format("%s is damaged: copy the bundle again.", file.c_str()));
  if (!fields.is_object() || !fields.contains("algorithm") || !fields.contains("schema")) throw damaged;
  if (fields["algorithm"] != "ed25519" || fields["schema"] != 1)
    throw Failure(format("%s is a signature of another kind than this edgekit checks (Ed25519, schema 1): sign the bundle "
                         "anew.",
                         file.c_str()));
  if (!fields.value("key", Json()).is_string() || !fields.value("signature", Json()).is_string()) throw damaged;
  const std::string id = fields["key"].get<std::string>(), letters = fields["signature"].get<std::string>();
  std::string bytes;
  Signature signature;
  // One spelling alone is taken, so that a signature cannot be changed without being another one.
  if (text != format(kFileText, id.c_str(), letters.c_str()) || !decode(letters, bytes) || bytes.size() != signature.size())
    throw damaged;
  std::copy(bytes.begin(), bytes.end(), signature.begin());
  const auto key = std::find_if(keys.begin(), keys.end(), [&](const PublicKey &one) { return id_of(one) == id; });
  if (key == keys.end())
    throw Failure(format("%s is signed with the key %s, which is not in %s: do not use it, or give the key of who signed it.",
                         folder.c_str(), in_quotes(id).c_str(), key_file.c_str()));
  if (!verifies(signature, *key, kDomain + manifest))
    throw Failure(format("%s has a signature that does not fit its manifest: do not use it, or copy the bundle again.",
                         folder.c_str()));
}

}  // namespace edgekit
