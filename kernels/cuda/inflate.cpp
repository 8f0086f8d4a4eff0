#include "inflate.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace edgekit::cuda {
namespace {

constexpr int kLongest = 15;  // bits of a code
constexpr int kLiterals = 288, kDistances = 32, kLengths = 19;

// The stream's bits, lowest first. Behind its end there are zeroes, which `overrun` tells.
class Bits {
 public:
  Bits(const unsigned char *from, const unsigned char *end) : from_(from), end_(end) {}

  unsigned peek(int count) {
    while (held_ < count) {
      if (from_ == end_) ++missing_;
      window_ |= static_cast<uint64_t>(from_ == end_ ? 0 : *from_++) << held_;
      held_ += 8;
    }
    return static_cast<unsigned>(window_ & ((uint64_t{1} << count) - 1));
  }
  void skip(int count) {
    window_ >>= count;
    held_ -= count;
  }
  unsigned take(int count) {
    const unsigned bits = peek(count);
    skip(count);
    return bits;
  }
  bool overrun() const { return 8 * missing_ > held_; }
  // The bytes from the next whole one on, of which there are `length`; nullptr if there are fewer.
  const unsigned char *bytes(size_t length) {
    skip(held_ % 8);
    if (overrun()) return nullptr;
    from_ -= held_ / 8 - missing_;
    window_ = 0, held_ = 0, missing_ = 0;
    if (length > static_cast<size_t>(end_ - from_)) return nullptr;
    from_ += length;
    return from_ - length;
  }

 private:
  const unsigned char *from_, *end_;
  uint64_t window_ = 0;
  int held_ = 0, missing_ = 0;  // bits in the window; bytes of it that are not the stream's
};

// A Huffman code: what the next 15 bits begin with, for all their values.
class Code {
 public:
  // False if the lengths are of no code. An incomplete one is refused where it is used (entry 0).
  bool set(const unsigned char *lengths, int count) {
    int of_length[kLongest + 1] = {};
    for (int symbol = 0; symbol < count; ++symbol) ++of_length[lengths[symbol]];
    of_length[0] = 0;
    unsigned next[kLongest + 2] = {};
    for (int length = 1; length <= kLongest; ++length) {
      next[length + 1] = (next[length] + static_cast<unsigned>(of_length[length])) << 1;
      if (next[length] + static_cast<unsigned>(of_length[length]) > 1u << length) return false;
    }
    std::memset(entries_, 0, sizeof entries_);
    for (int symbol = 0; symbol < count; ++symbol) {
      const int length = lengths[symbol];
      if (length == 0) continue;
      unsigned reversed = 0, code = next[length]++;
      for (int bit = 0; bit < length; ++bit, code >>= 1) reversed = reversed << 1 | (code & 1);
      for (; reversed < 1u << kLongest; reversed += 1u << length)
        entries_[reversed] = static_cast<uint16_t>(symbol << 4 | length);
    }
    return true;
  }
  // The next symbol; -1 if no code begins so.
  int read(Bits &bits) const {
    const uint16_t entry = entries_[bits.peek(kLongest)];
    bits.skip(entry & 15);
    return entry == 0 ? -1 : entry >> 4;
  }

 private:
  uint16_t entries_[1 << kLongest];
};

struct Codes {
  Code literals, distances;
};

void set_fixed(Codes &codes) {
  unsigned char lengths[kLiterals];
  for (int symbol = 0; symbol < kLiterals; ++symbol)
    lengths[symbol] = symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
  codes.literals.set(lengths, kLiterals);
  std::memset(lengths, 5, kDistances);
  codes.distances.set(lengths, kDistances);
}

// Reads the codes of a block, which are coded themselves.
bool read_codes(Bits &bits, Codes &codes) {
  constexpr unsigned char kOrder[kLengths] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  const int literals = static_cast<int>(bits.take(5)) + 257, distances = static_cast<int>(bits.take(5)) + 1;
  const int count = static_cast<int>(bits.take(4)) + 4;
  unsigned char lengths[kLiterals + kDistances] = {};
  for (int place = 0; place < count; ++place) lengths[kOrder[place]] = static_cast<unsigned char>(bits.take(3));
  if (literals > kLiterals || !codes.literals.set(lengths, kLengths)) return false;
  std::memset(lengths, 0, kLengths);
  for (int place = 0; place < literals + distances;) {
    const int symbol = codes.literals.read(bits);
    if (symbol < 0) return false;
    int repeat = 1;
    unsigned char length = static_cast<unsigned char>(symbol);
    if (symbol >= 16) {
      if (symbol == 16 && place == 0) return false;
      length = symbol == 16 ? lengths[place - 1] : 0;
      repeat = symbol == 16 ? 3 + bits.take(2) : symbol == 17 ? 3 + bits.take(3) : 11 + bits.take(7);
    }
    if (repeat > literals + distances - place) return false;
    std::memset(lengths + place, length, static_cast<size_t>(repeat));
    place += repeat;
  }
  return codes.literals.set(lengths, literals) && codes.distances.set(lengths + literals, distances);
}

// Where the output is.
struct Output {
  unsigned char *begin, *next, *end;
};

bool read_block(Bits &bits, const Codes &codes, Output &out) {
  for (;;) {
    const int symbol = codes.literals.read(bits);
    if (symbol < 0 || bits.overrun()) return false;
    if (symbol == 256) return true;
    if (symbol < 256) {
      if (out.next == out.end) return false;
      *out.next++ = static_cast<unsigned char>(symbol);
      continue;
    }
    // Lengths and distances of RFC 1951, 3.2.5: the more bits follow, the further apart they are.
    const int place = symbol - 257, more = place < 8 || place == 28 ? 0 : place / 4 - 1;
    if (place > 28) return false;
    const size_t base = place == 28 ? 258 : place < 8 ? 3 + place : 3 + ((4 + place % 4) << more);
    const size_t length = base + bits.take(more);
    const int far = codes.distances.read(bits);
    if (far < 0 || far > 29) return false;
    const int far_more = far < 2 ? 0 : far / 2 - 1;
    const size_t distance = (far < 2 ? 1 + far : 1 + ((2 + far % 2) << far_more)) + bits.take(far_more);
    if (distance > static_cast<size_t>(out.next - out.begin) || length > static_cast<size_t>(out.end - out.next))
      return false;
    for (size_t byte = 0; byte < length; ++byte, ++out.next) *out.next = *(out.next - distance);  // they may overlap
  }
}

bool read_stored(Bits &bits, Output &out) {
  const unsigned char *head = bits.bytes(4);
  if (head == nullptr) return false;
  const unsigned length = head[0] | head[1] << 8, inverse = head[2] | head[3] << 8;
  const unsigned char *from = bits.bytes(length);
  if ((length ^ inverse) != 0xffff || from == nullptr || length > static_cast<size_t>(out.end - out.next)) return false;
  std::memcpy(out.next, from, length);
  out.next += length;
  return true;
}

uint32_t adler32(const unsigned char *data, size_t size) {
  uint32_t low = 1, high = 0;
  for (size_t place = 0; place < size;) {
    // As many as 32 bits hold the sums of (RFC 1950, 9).
    for (const size_t stop = size - place < 5552 ? size : place + 5552; place < stop; ++place) {
      low += data[place];
      high += low;
    }
    low %= 65521;
    high %= 65521;
  }
  return high << 16 | low;
}

bool inflate_with(Codes &codes, Bits &bits, Output &out) {
  for (bool last = false; !last;) {
    last = bits.take(1) != 0;
    const unsigned kind = bits.take(2);
    if (bits.overrun() || kind == 3) return false;
    if (kind == 0) {
      if (!read_stored(bits, out)) return false;
      continue;
    }
    if (kind == 1) set_fixed(codes);
    if (kind == 2 && !read_codes(bits, codes)) return false;
    if (!read_block(bits, codes, out)) return false;
  }
  const unsigned char *sum = bits.bytes(4);
  const size_t size = static_cast<size_t>(out.next - out.begin);
  return out.next == out.end && sum != nullptr &&
         adler32(out.begin, size) == (static_cast<uint32_t>(sum[0]) << 24 | sum[1] << 16 | sum[2] << 8 | sum[3]);
}

}  // namespace

bool inflate(const unsigned char *stream, size_t length, unsigned char *to, size_t size) {
  constexpr unsigned kDeflate = 8, kDictionary = 0x20;
  if (length < 2 || (stream[0] & 15) != kDeflate || (stream[1] & kDictionary) != 0) return false;
  auto *codes = static_cast<Codes *>(std::malloc(sizeof(Codes)));  // 128 KiB: too much for a stack
  if (codes == nullptr) return false;
  Bits bits(stream + 2, stream + length);
  Output out{to, to, to + size};
  const bool sound = inflate_with(*codes, bits, out);
  std::free(codes);
  return sound;
}

}  // namespace edgekit::cuda
