#include "tokenizer_file.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <unordered_set>

#include "core/files.h"
#include "piece_index.h"
#include "tokenizer_json.h"
#include "utf8.h"

namespace edgekit {
namespace {

constexpr uint64_t kLargestFile = 64 << 20;
constexpr size_t kLongestAdded = 1024;

// How pieces are spelled: a byte that prints in Latin-1 is that character, the others are U+0100 and on, in order.
class Spelling {
 public:
  Spelling() {
    std::fill(std::begin(bytes_), std::end(bytes_), int16_t{-1});
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool prints = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
      code_[byte] = prints ? byte : next++;
      bytes_[code_[byte]] = static_cast<int16_t>(byte);
    }
  }

  std::string of(uint8_t byte) const {
    const uint32_t code = code_[byte];
    if (code < 0x80) return std::string(1, static_cast<char>(code));
    return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
  }
  // Adds the bytes that a piece stands for: itself, if it has a character that stands for none.
  void add_bytes(std::string_view piece, std::string &bytes) const {
    const size_t start = bytes.size();
    for (std::string_view rest = piece; !rest.empty();) {
      const CodePoint point = first_code_point(rest);
      if (!point.valid || point.code >= kCodes || bytes_[point.code] < 0) {
        bytes.replace(start, std::string::npos, piece);
        return;
      }
      bytes += static_cast<char>(bytes_[point.code]);
      rest.remove_prefix(point.size);
    }
  }

 private:
  static constexpr uint32_t kCodes = 0x144;
  uint32_t code_[256];
  int16_t bytes_[kCodes];  // -1 where a code point stands for none
};

class Reader {
 public:
  explicit Reader(const std::string &path) : path_(path) {}

  TokenizerFile read() {
    if (!is_file(path_)) throw Failure(format("%s is missing: export the bundle again.", path_.c_str()));
    json_ = parse_tokenizer(read_file(path_, kLargestFile));
    if (!json_.damage.empty()) throw damaged(json_.damage);
    const Json &file = json_.fields;
    check_fields(file, "", {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                            "post_processor", "decoder", "model"});
    if (text_of(file, "version") != "1.0") throw refused("another version than 1.0");
    for (const char *name : {"truncation", "padding", "normalizer"})
      if (!at(file, name).is_null()) throw refused(format("a %s", name));
    // A post_processor only adds special tokens, which nobody asks for here.
    read_words(at(file, "pre_tokenizer"));
    if (text_of(at(file, "decoder"), "type") != "ByteLevel") throw refused("a decoder other than ByteLevel");
    read_model(at(file, "model"));
    read_added(at(file, "added_tokens"));
    read_pieces();
    return std::move(result_);
  }

 private:
  Failure damaged(const std::string &why) const {
    return Failure(format("%s is damaged (%s): copy or export the bundle again.", path_.c_str(), why.c_str()));
  }
  Failure refused(const std::string &what) const {
    return Failure(format("%s has %s, which this library does not do: export the model with a tokenizer of byte-level "
                          "BPE as GPT-2 and OPT have it.",
                          path_.c_str(), what.c_str()));
  }

  // A field, null where there is none.
  static const Json &at(const Json &object, const char *name) {
    static const Json none;
    if (!object.is_object()) return none;
    const auto found = object.find(name);
    return found == object.end() ? none : *found;
  }
  static std::string text_of(const Json &object, const char *name) {
    const Json &value = at(object, name);
    return value.is_string() ? value.get<std::string>() : "";
  }
  bool flag(const Json &object, const char *name) const {
    const Json &value = at(object, name);
    if (!value.is_boolean()) throw damaged(format("'%s' is not true or false", name));
    return value.get<bool>();
  }
  // What is not known here may change the result.
  void check_fields(const Json &object, const char *part, std::initializer_list<const char *> known) const {
    for (const auto &field : object.items())
      if (!field.value().is_null() && std::find(known.begin(), known.end(), field.key()) == known.end())
        throw refused(format("a field '%s%s'", part, field.key().c_str()));
  }

  void read_words(const Json &words) {
    if (text_of(words, "type") != "ByteLevel") throw refused("a pre_tokenizer other than ByteLevel");
    check_fields(words, "pre_tokenizer.", {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    if (!at(words, "use_regex").is_null() && !flag(words, "use_regex")) throw refused("use_regex false");
    result_.adds_space = flag(words, "add_prefix_space");
  }

  void read_model(const Json &model) {
    if (text_of(model, "type") != "BPE") throw refused("a model other than BPE");
    check_fields(model, "model.", {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                                   "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
    const Json &dropout = at(model, "dropout");
    if (!dropout.is_null() && dropout != 0) throw refused("a dropout");
    for (const char *name : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!at(model, name).is_null() && at(model, name) != "") throw refused(format("a %s", name));
    if (at(model, "ignore_merges") == true) throw refused("ignore_merges");
    // unk_token, fuse_unk and byte_fallback are for characters without a piece; every byte has one.
    if (!at(model, "vocab").is_object() || json_.pieces.size() == 0) throw damaged("it has no vocabulary");
    if (!at(model, "merges").is_array()) throw damaged("it has no merges");
    read_vocabulary();
    read_merges();
  }

  void read_vocabulary() {
    texts_.resize(json_.pieces.size());
    std::vector<bool> taken(texts_.size());
    for (size_t piece = 0; piece < texts_.size(); ++piece) {
      const uint32_t token = json_.tokens[piece];
      if (token >= texts_.size() || taken[token])
        throw damaged(format("its tokens are not 0 to %zu, each once", texts_.size() - 1));
      taken[token] = true;
      texts_[token] = json_.pieces[piece];
    }
    index_.emplace(texts_);
    for (size_t byte = 0; byte < 256; ++byte) {
      result_.byte_tokens[byte] = index_->find(spelling_.of(static_cast<uint8_t>(byte)));
      if (result_.byte_tokens[byte] == PieceIndex::kNone)
        throw damaged(format("there is no token for the byte %zu", byte));
    }
  }

  void read_merges() {
    std::vector<Merge> &merges = result_.merges;
    merges.reserve(json_.merges.size() / 2);
    std::string both;
    for (size_t piece = 0; piece < json_.merges.size(); piece += 2) {
      const std::string_view left = json_.merges[piece], right = json_.merges[piece + 1];
      both.assign(left).append(right);
      merges.push_back({token_of(left), token_of(right), static_cast<uint32_t>(merges.size()), token_of(both)});
    }
    std::sort(merges.begin(), merges.end(), [](const Merge &a, const Merge &b) { return a.pair() < b.pair(); });
    const auto same = [](const Merge &a, const Merge &b) { return a.pair() == b.pair(); };
    if (std::adjacent_find(merges.begin(), merges.end(), same) != merges.end()) throw damaged("it has a merge twice");
  }

  uint32_t token_of(std::string_view piece) const {
    const uint32_t token = index_->find(piece);
    if (token == PieceIndex::kNone)
      throw damaged(format("a merge needs the piece '%s', which is no token", std::string(piece).c_str()));
    return token;
  }

  // Those that the vocabulary lacks come after it, in order.
  void read_added(const Json &all) {
    if (all.is_null()) return;
    if (!all.is_array()) throw damaged("'added_tokens' is no list");
    std::unordered_set<std::string> seen;
    for (const Json &fields : all) {
      const std::string text = text_of(fields, "content");
      if (text.empty() || text.size() > kLongestAdded)
        throw damaged(format("an added token does not have 1 to %zu bytes", kLongestAdded));
      check_fields(fields, "added_tokens.",
                   {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
      if (flag(fields, "single_word")) throw refused(format("the token '%s' with single_word", text.c_str()));
      if (!seen.insert(text).second) throw damaged(format("the added token '%s' is there twice", text.c_str()));
      const uint32_t found = index_->find(text);
      const size_t token = found == PieceIndex::kNone ? texts_.size() + more_.size() : found;
      if (at(fields, "id") != token)
        throw damaged(format("the added token '%s' has another id than %zu", text.c_str(), token));
      if (found == PieceIndex::kNone) more_.push_back(text);
      result_.added.push_back({text, static_cast<int64_t>(token), flag(fields, "special"), flag(fields, "lstrip"),
                               flag(fields, "rstrip"), flag(fields, "normalized")});
    }
  }

  void read_pieces() {
    const auto add = [&](std::string_view text) {
      spelling_.add_bytes(text, result_.bytes);
      result_.ends.push_back(static_cast<uint32_t>(result_.bytes.size()));
    };
    for (const std::string_view text : texts_) add(text);
    for (const std::string &text : more_) add(text);
  }

  const std::string &path_;
  const Spelling spelling_;
  TokenizerJson json_;
  std::vector<std::string_view> texts_;  // of each token of the vocabulary, as the file spells it
  std::vector<std::string> more_;        // of those after it
  std::optional<PieceIndex> index_;
  TokenizerFile result_ = {};
};

}  // namespace

TokenizerFile read_tokenizer_file(const std::string &path) { return Reader(path).read(); }

}  // namespace edgekit
