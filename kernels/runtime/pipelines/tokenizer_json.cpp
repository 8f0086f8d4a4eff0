#include "tokenizer_json.h"

namespace edgekit {
namespace {

using Event = Json::parse_event_t;

// Sees every part of the file as it is parsed. Entries of the vocabulary and merges are taken and left out of the tree.
class Listener {
 public:
  explicit Listener(TokenizerJson &result) : result_(result) {}

  // `depth`: containers around the part. Gives whether the tree keeps it.
  bool see(int depth, Event event, const Json &part) {
    if (event == Event::key && depth <= 2) {
      enter(depth, part.get_ref<const std::string &>());
    } else if (list_ == List::vocabulary) {
      return see_piece(depth, event, part);
    } else if (list_ == List::merges) {
      return see_merge(depth, event, part);
    }
    return true;
  }

 private:
  enum class List { none, vocabulary, merges };

  void enter(int depth, const std::string &name) {
    if (depth == 1) in_model_ = name == "model";
    list_ = depth < 2 || !in_model_ ? List::none
            : name == "vocab"       ? List::vocabulary
            : name == "merges"      ? List::merges
                                    : List::none;
  }

  void wrong(const std::string &why) {
    if (result_.damage.empty()) result_.damage = why;
  }

  bool see_piece(int depth, Event event, const Json &part) {
    if (depth < 3) {
      if (event == Event::array_start) wrong("its vocabulary is a list");
      return true;
    }
    if (event == Event::key && depth == 3) {
      result_.pieces.add(part.get_ref<const std::string &>());
      return false;
    }
    const bool is_token = event == Event::value && part.is_number_unsigned() && part.get<uint64_t>() < UINT32_MAX;
    if (!is_token) wrong("a token is not a number from 0");
    result_.tokens.push_back(is_token ? part.get<uint32_t>() : UINT32_MAX);
    return false;
  }

  // Pairs, or in older files their pieces with a space between.
  bool see_merge(int depth, Event event, const Json &part) {
    if (depth < 3) {
      if (event == Event::object_start) wrong("its merges are no list");
    } else if (event == Event::array_start && depth == 3) {
      started_ = result_.merges.size();
      expect(pairs_, texts_);
      return true;
    } else if (event == Event::array_end && depth == 3) {
      if (result_.merges.size() != started_ + 2) wrong("a merge is not two pieces");
    } else if (event == Event::value && part.is_string() && depth == 4) {
      result_.merges.add(part.get_ref<const std::string &>());
    } else if (event == Event::value && part.is_string()) {
      expect(texts_, pairs_);
      split(part.get_ref<const std::string &>());
    } else {
      wrong("a merge is not two pieces");
    }
    return depth < 3;
  }

  void expect(bool &these, bool others) {
    these = true;
    if (others) wrong("its merges are not all alike");
  }

  void split(const std::string &text) {
    if (text.compare(0, 8, "#version") == 0) return;
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
      return wrong("the merge '" + text + "' is not two pieces");
    result_.merges.add(std::string_view(text).substr(0, space));
    result_.merges.add(std::string_view(text).substr(space + 1));
  }

  TokenizerJson &result_;
  bool in_model_ = false;
  List list_ = List::none;
  size_t started_ = 0;
  bool pairs_ = false, texts_ = false;
};

}  // namespace

TokenizerJson parse_tokenizer(const std::string &text) {
  TokenizerJson result;
  Listener listener(result);
  result.fields = Json::parse(
      text, [&](int depth, Event event, Json &part) { return listener.see(depth, event, part); }, false);
  if (!result.fields.is_object()) result.damage = "it is no JSON object";
  return result;
}

}  // namespace edgekit
