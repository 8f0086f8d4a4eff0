#include "objects.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "core/failure.h"

namespace edgekit {
namespace {

// A component while it grows. Parts that turn out to belong together form a tree, whose root is the part that was met
// first and ends up with the sums of all.
struct Part {
  size_t parent;
  int top, left, bottom, right;
  int64_t area = 0;
  int64_t row_sum = 0, column_sum = 0;
  float peak;
  int peak_row, peak_column;

  Part(size_t number, int row, int column, float logit)
      : parent(number),
        top(row),
        left(column),
        bottom(row + 1),
        right(column + 1),
        peak(logit),
        peak_row(row),
        peak_column(column) {}

  void add(int row, int column, float logit) {
    left = std::min(left, column);
    right = std::max(right, column + 1);
    bottom = row + 1;  // rows come in order
    area += 1;
    row_sum += row;
    column_sum += column;
    if (logit > peak) {
      peak = logit;
      peak_row = row;
      peak_column = column;
    }
  }

  void add(const Part &other) {
    top = std::min(top, other.top);
    left = std::min(left, other.left);
    bottom = std::max(bottom, other.bottom);
    right = std::max(right, other.right);
    area += other.area;
    row_sum += other.row_sum;
    column_sum += other.column_sum;
    const bool is_first = std::make_pair(other.peak_row, other.peak_column) < std::make_pair(peak_row, peak_column);
    if (other.peak > peak || (other.peak == peak && is_first)) {
      peak = other.peak;
      peak_row = other.peak_row;
      peak_column = other.peak_column;
    }
  }

  SegmentedObject object() const {
    const double pixels = static_cast<double>(area);
    return {{static_cast<double>(row_sum) / pixels, static_cast<double>(column_sum) / pixels},
            {top, left, bottom, right},
            area,
            peak,
            {peak_row, peak_column}};
  }
};

class Parts {
 public:
  size_t begin(int row, int column, float logit) {
    parts_.emplace_back(parts_.size(), row, column, logit);
    return parts_.size() - 1;
  }

  Part &operator[](size_t number) { return parts_[number]; }

  size_t root(size_t number) {
    while (parts_[number].parent != number) {
      parts_[number].parent = parts_[parts_[number].parent].parent;
      number = parts_[number].parent;
    }
    return number;
  }

  void join(size_t one, size_t other) {
    one = root(one);
    other = root(other);
    parts_[std::max(one, other)].parent = std::min(one, other);
  }

  // The whole components, in the order of their first pixels.
  void collect(std::vector<SegmentedObject> &objects) {
    for (size_t number = parts_.size(); number-- > 0;) {
      // A parent was met before its children, so that these are complete by now.
      if (parts_[number].parent != number) parts_[parts_[number].parent].add(parts_[number]);
    }
    for (const Part &part : parts_)
      if (part.parent == static_cast<size_t>(&part - parts_.data())) objects.push_back(part.object());
  }

 private:
  std::vector<Part> parts_;
};

constexpr size_t kNone = static_cast<size_t>(-1);

}  // namespace

void find_objects(const float *logits, ImageSize size, float threshold, Order order,
                  std::vector<SegmentedObject> &objects) {
  objects.clear();
  const size_t width = static_cast<size_t>(size.width);
  // The parts of the row above and of this one, with an empty column at either side.
  std::vector<size_t> above(width + 2, kNone), here(width + 2, kNone);
  Parts parts;
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; ++column) {
      const float logit = *logits++;
      const size_t place = static_cast<size_t>(column) + 1;
      here[place] = kNone;
      if (!(logit > threshold)) continue;
      for (const size_t neighbour : {above[place - 1], above[place], above[place + 1], here[place - 1]}) {
        if (neighbour == kNone) continue;
        if (here[place] == kNone) {
          here[place] = neighbour;
        } else if (here[place] != neighbour) {
          parts.join(here[place], neighbour);
        }
      }
      if (here[place] == kNone) here[place] = parts.begin(row, column, logit);
      parts[here[place]].add(row, column, logit);
    }
    here.swap(above);
  }
  parts.collect(objects);
  std::stable_sort(objects.begin(), objects.end(), [&](const SegmentedObject &a, const SegmentedObject &b) {
    if (order == Order::peak && a.peak != b.peak) return a.peak > b.peak;
    if (order == Order::area && a.area != b.area) return a.area > b.area;
    return std::lexicographical_compare(std::begin(a.box), std::end(a.box), std::begin(b.box), std::end(b.box));
  });
}

ArrayPointer<SegmentedObject> find_objects(const float *logits, ImageSize size, double threshold, Order order,
                                           size_t *count) noexcept {
  return guarded([&] {
    std::vector<SegmentedObject> found;
    find_objects(logits, size, static_cast<float>(threshold), order, found);
    const size_t bytes = found.size() * sizeof(SegmentedObject);
    ArrayPointer<SegmentedObject> objects(static_cast<SegmentedObject *>(std::malloc(std::max<size_t>(bytes, 1))));
    if (!objects) throw std::bad_alloc();
    std::copy(found.begin(), found.end(), objects.get());
    *count = found.size();
    return objects;
  });
}

}  // namespace edgekit
