#include "json_mutation.h"

#include <random>
#include <vector>

#include "core/json.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

namespace edgekit::fuzz {
namespace {

using Draw = std::minstd_rand;

constexpr const char *kStrange[] = {
    "null", "true", "false", "0", "-1", "1", "255", "256", "65536", "2147483647", "2147483648", "4294967295",
    "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551615", "-9223372036854775808", "1e308",
    "-1e308", "1e-320", "-0.0", "0.5", "\"\"", "\"\\u0000\"", "\"a\"", "[]", "{}", "[[[[]]]]", "{\"name\":{}}", "[1,2]",
    "\"../manifest.json\"", "\"/etc/passwd\"", "\"float32\"", "\"float64\"", "\"int64\"", "\"pte\"", "\"tflite\""};

size_t below(Draw &draw, size_t count) { return static_cast<size_t>(draw()) % count; }

// Every place of the tree but its root.
void collect(Json &value, std::vector<std::pair<Json *, Json::object_t::key_type>> &places) {
  size_t index = 0;
  if (value.is_object())
    for (auto &item : value.items()) {
      places.emplace_back(&value, item.key());
      collect(item.value(), places);
    }
  if (value.is_array())
    for (Json &item : value) {
      places.emplace_back(&value, std::to_string(index++));
      collect(item, places);
    }
}

Json &at(const std::pair<Json *, std::string> &place) {
  return place.first->is_array() ? (*place.first)[std::stoul(place.second)] : (*place.first)[place.second];
}

void change(Json &root, Draw &draw) {
  std::vector<std::pair<Json *, std::string>> places;
  collect(root, places);
  if (places.empty()) return;
  auto &[parent, key] = places[below(draw, places.size())];
  Json &value = at({parent, key});
  const Json other = at(places[below(draw, places.size())]);
  switch (below(draw, 6)) {
    case 0:
      if (parent->is_array()) parent->erase(std::stoul(key));
      else parent->erase(key);
      break;
    case 1: value = Json::parse(kStrange[below(draw, std::size(kStrange))]); break;
    case 2: value = other; break;
    case 3:
      if (parent->is_array()) parent->push_back(other);
      else (*parent)[key + "2"] = other;
      break;
    case 4:
      if (value.is_number_integer()) value = value.get<int64_t>() ^ (int64_t{1} << below(draw, 63));
      else if (value.is_string()) value = value.get<std::string>() + static_cast<char>('a' + below(draw, 26));
      else value = other;
      break;
    default:
      if (value.is_array() && !value.empty()) value.insert(value.begin(), value[below(draw, value.size())]);
      else value = Json::parse(kStrange[below(draw, std::size(kStrange))]);
  }
}

}  // namespace

std::string changed_tree(const std::string &text, unsigned seed) {
  Json root = parse_json(text);
  if (!root.is_structured()) return text;
  Draw draw(seed + 1);
  for (size_t count = 1 + below(draw, 3); count > 0; --count) change(root, draw);
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

size_t mutate_json(uint8_t *data, size_t size, size_t most, unsigned seed) {
  if (seed % 2 == 0) return LLVMFuzzerMutate(data, size, most);
  const std::string text = changed_tree(std::string(reinterpret_cast<const char *>(data), size), seed / 2);
  if (text.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::copy(text.begin(), text.end(), data);
  return text.size();
}

}  // namespace edgekit::fuzz
