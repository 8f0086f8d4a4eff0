// Who made a bundle: its manifest's signature, `manifest.sig`, which `edgekit bundle sign` writes.
#pragma once

#include <string>

namespace edgekit {

constexpr char kSignatureName[] = "manifest.sig";

// The file of the public keys that the environment has every session require (EDGEKIT_REQUIRE_SIGNATURE); "" if none.
std::string required_by_environment();

// Throws Failure unless the manifest's signature beside it is of one of the keys in a file: one or more blocks of PEM
// ("PUBLIC KEY", Ed25519).
void check_signature(const std::string &folder, const std::string &manifest, const std::string &key_file);

}  // namespace edgekit
