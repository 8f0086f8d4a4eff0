// The reference: a heap of the k best seen so far, the worst of them on top.

#include <algorithm>

#include "../common/key.h"
#include "../common/work.h"
#include "sparse_topk.h"

namespace edgekit::sparse_topk {
namespace {

struct Entry {
  int32_t key;
  int32_t index;
};

bool better(const Entry &a, const Entry &b) { return a.key > b.key || (a.key == b.key && a.index < b.index); }
bool earlier(const Entry &a, const Entry &b) { return a.index < b.index; }

template <typename T>
void row(const T *x, int64_t n, int64_t k, bool sorted, T *values, int64_t *indices, void *scratch) {
  Entry *heap = Arena(scratch).take<Entry>(k);
  for (int64_t index = 0; index < n; ++index) {
    const Entry entry{key_of(x[index]), static_cast<int32_t>(index)};
    if (index < k) {
      heap[index] = entry;
      std::push_heap(heap, heap + index + 1, better);
    } else if (better(entry, heap[0])) {
      std::pop_heap(heap, heap + k, better);
      heap[k - 1] = entry;
      std::push_heap(heap, heap + k, better);
    }
  }
  std::sort(heap, heap + k, sorted ? better : earlier);
  for (int64_t place = 0; place < k; ++place) {
    values[place] = x[heap[place].index];
    indices[place] = heap[place].index;
  }
}

}  // namespace

const Kernels kScalar{Isa::kScalar, row<float>, row<uint16_t>};

}  // namespace edgekit::sparse_topk
