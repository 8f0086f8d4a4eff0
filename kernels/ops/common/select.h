// The k largest of a row on vectors: guess a threshold from a sample, gather what lies above it, and narrow it down there.
//
// One pass over the row keeps, in their order, the candidates above the guess; they are few more than k. The k-th largest
// key is then found among them by bisection with vector counts. A guess that was too high is lowered and the pass
// repeated; the last guess admits everything.
//
// `Simd` is what an instruction set brings, see keys_avx2.h and keys_neon.h:
//   kLanes; Keys (kLanes int32)
//   Keys load(const T *)          keys of kLanes numbers        Keys load_keys(const int32_t *)     Keys set(int32_t)
//   unsigned greater(Keys, Keys)  a bit per lane                 void store_keys(int32_t *, Keys)
//   int compress(Keys, unsigned mask, int32_t *to)  lanes of the mask, packed; may store kLanes; gives how many
//   Keys iota(int32_t)            from a number upwards
//   Keys count_greater(Keys count, Keys a, Keys b)  count + 1 where a > b;  int sum(Keys)
#pragma once

#include <algorithm>

#include "key.h"
#include "work.h"

namespace edgekit {

constexpr int64_t kOverhang = 16;  // vectors are stored whole

// Bytes that Selection takes from its arena.
inline size_t selection_scratch(int64_t n, int64_t k) {
  return 2 * room<int32_t>(n + kOverhang) + 2 * room<int32_t>(k + kOverhang);
}

template <typename Simd>
class Selection {
 public:
  // The places of the k largest of x, ascending; gives them and their keys, both padded to whole vectors.
  template <typename T>
  void select(const T *x, int64_t n, int64_t k, Arena &arena) {
    keys_ = arena.take<int32_t>(n + kOverhang);
    places_ = arena.take<int32_t>(n + kOverhang);
    chosen_keys = arena.take<int32_t>(k + kOverhang);
    chosen = arena.take<int32_t>(k + kOverhang);
    int64_t count = 0;
    int32_t least = kNanKey;
    for (int64_t allowance = 0; count < k; ++allowance) {
      least = guess(x, n, k, allowance);
      count = gather(x, n, least);
    }
    narrow(count, k, least);
  }

  int32_t *chosen_keys = nullptr;
  int32_t *chosen = nullptr;

 private:
  static constexpr int64_t kLanes = Simd::kLanes, kLargestSample = 64;

  // A key that at least k of the row are likely to reach: a rank in an evenly spread sample.
  template <typename T>
  static int32_t guess(const T *x, int64_t n, int64_t k, int64_t allowance) {
    const int64_t size = n >= 1024 ? kLargestSample : 32;
    // More than half of the row, or one guess too many: admit all of it, NaN included.
    if (n < 2 * size || 2 * k > n || allowance > 2) return kNanKey;
    alignas(64) int32_t sample[kLargestSample];
    const int64_t stride = n / size;
    for (int64_t place = 0; place < size; ++place) sample[place] = key_of(x[place * stride + place % stride]);
    const int64_t expected = (size * k + n - 1) / n;
    int64_t margin = 2;  // about one and a half standard deviations of how many of the sample are among the k largest
    while (4 * margin * margin < 9 * expected) ++margin;
    const int64_t rank = expected + (margin << allowance);
    if (rank >= size) return kNanKey;
    return ranked(sample, size, rank);
  }

  // The rank-th largest of a sample, from 0: the least of those that have at most `rank` above them.
  static int32_t ranked(const int32_t *sample, int64_t size, int64_t rank) {
    const auto limit = Simd::set(static_cast<int32_t>(rank));
    auto least = Simd::set(INT32_MAX);
    for (int64_t vector = 0; vector < size; vector += kLanes) {
      const auto mine = Simd::load_keys(sample + vector);
      auto above = Simd::set(0);
      for (int64_t other = 0; other < size; ++other)
        above = Simd::count_greater(above, Simd::set(sample[other]), mine);
      least = Simd::least_where_not_greater(least, mine, above, limit);
    }
    alignas(64) int32_t lanes[kLanes];
    Simd::store_keys(lanes, least);
    return *std::min_element(lanes, lanes + kLanes);
  }

  static int32_t upper_middle(int32_t low, int32_t high) {
    const uint32_t span = static_cast<uint32_t>(high) - static_cast<uint32_t>(low);
    return static_cast<int32_t>(static_cast<uint32_t>(low) + span / 2 + (span & 1));
  }

  // The largest of the first `size` keys, a multiple of kLanes.
  int32_t largest(int64_t size) const {
    auto most = Simd::load_keys(keys_);
    for (int64_t place = kLanes; place < size; place += kLanes)
      most = Simd::larger(most, Simd::load_keys(keys_ + place));
    alignas(64) int32_t lanes[kLanes];
    Simd::store_keys(lanes, most);
    return *std::max_element(lanes, lanes + kLanes);
  }

  // How many of `size` keys, a multiple of kLanes, are `least` or more; least is above kNanKey.
  static int64_t count_from(const int32_t *keys, int64_t size, int32_t least) {
    const auto below = Simd::set(least - 1);
    auto count = Simd::set(0);
    for (int64_t place = 0; place < size; place += kLanes)
      count = Simd::count_greater(count, Simd::load_keys(keys + place), below);
    return Simd::sum(count);
  }

  // Candidates of `least` or more, in order, into keys_ and places_; gives how many.
  template <typename T>
  int64_t gather(const T *x, int64_t n, int32_t least) {
    int64_t count = 0, place = 0;
    if (least == kNanKey) {
      for (; place + kLanes <= n; place += kLanes) {
        Simd::store_keys(keys_ + place, Simd::load(x + place));
        Simd::store_keys(places_ + place, Simd::iota(static_cast<int32_t>(place)));
      }
      count = place;
    } else {
      const auto below = Simd::set(least - 1);
      for (; place + kLanes <= n; place += kLanes) {
        const auto keys = Simd::load(x + place);
        const unsigned mask = Simd::greater(keys, below);
        Simd::compress(keys, mask, keys_ + count);
        count += Simd::compress(Simd::iota(static_cast<int32_t>(place)), mask, places_ + count);
      }
    }
    for (; place < n; ++place) {
      const int32_t key = key_of(x[place]);
      keys_[count] = key;
      places_[count] = static_cast<int32_t>(place);
      count += key >= least;
    }
    return count;
  }

  // The k largest of `count` candidates of `least` or more, in order, into chosen_keys and chosen.
  void narrow(int64_t count, int64_t k, int32_t least) {
    if (count == k) {
      std::copy(keys_, keys_ + k, chosen_keys);
      std::copy(places_, places_ + k, chosen);
      return;
    }
    const int64_t padded = (count + kLanes - 1) / kLanes * kLanes;
    std::fill(keys_ + count, keys_ + padded, kNanKey);  // reaches no threshold
    // The largest threshold that k candidates or more reach; when exactly k do, the search is over.
    int32_t low = least, high = largest(padded);
    int64_t reach = count;
    while (low < high && reach != k) {
      const int32_t middle = upper_middle(low, high);
      const int64_t found = count_from(keys_, padded, middle);
      if (found >= k) {
        low = middle;
        reach = found;
      } else {
        high = middle - 1;
      }
    }
    // More than k reach it: of those that equal it, the first ones are taken.
    int64_t ties = INT64_MAX;
    if (reach != k) ties = k - (low == INT32_MAX ? 0 : count_from(keys_, padded, low + 1));
    int64_t taken = 0;
    if (reach == k) {
      const auto below = Simd::set(low - 1);
      for (int64_t place = 0; place < padded; place += kLanes) {
        const auto keys = Simd::load_keys(keys_ + place);
        const unsigned mask = Simd::greater(keys, below);
        const auto places = Simd::load_keys(places_ + place);
        Simd::compress(keys, mask, chosen_keys + taken);
        taken += Simd::compress(places, mask, chosen + taken);
      }
      return;
    }
    for (int64_t place = 0; taken < k; ++place) {
      const int32_t key = keys_[place];
      if (key < low || (key == low && ties-- <= 0)) continue;
      chosen_keys[taken] = key;
      chosen[taken++] = places_[place];
    }
  }

  int32_t *keys_ = nullptr;
  int32_t *places_ = nullptr;
};

}  // namespace edgekit
