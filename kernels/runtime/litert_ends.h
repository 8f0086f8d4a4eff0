// Inputs and outputs of a `.tflite` method: the caller's memory, or a copy where LiteRT does not take that.
#pragma once

#include "core/bundle.h"
#include "core/heap.h"
#include "litert_functions.h"

namespace edgekit::litert {

// One input or output of a method, or one of its states.
class End {
 public:
  // `type` is the program's own; throws Failure where the manifest's is another. `what` and `folder` are for sentences.
  End(const Functions &litert, const std::string &folder, const std::string &what, const TensorType &type, DType dtype,
      const std::vector<int64_t> &shape, bool dynamic);
  End(End &&other) noexcept;
  ~End();

  // LiteRT's view of a caller's input, whose numbers it may change to a narrower type; throws UsageFailure for a number
  // that does not fit.
  Buffer take(const Tensor &input, Heap &heap);
  // LiteRT's view of where an output goes, and afterwards the output at its place.
  Buffer give(const Tensor &output, Heap &heap);
  void finish(const Tensor &output) const;
  // LiteRT's view of memory that stays.
  Buffer view(void *memory);

  // The first dimension, where the program leaves it open.
  bool is_dynamic() const { return dynamic_; }
  void set_rows(int64_t rows) { type_.layout.sizes[0] = static_cast<int32_t>(rows); }
  int64_t rows() const { return type_.layout.rank > 0 ? type_.layout.sizes[0] : 1; }
  const Layout &layout() const { return type_.layout; }
  size_t held() const { return copy_.size(); }

 private:
  size_t count() const;
  size_t bytes() const;
  bool takes(const void *memory) const;
  void *room(Heap &heap);
  void release();

  const Functions &litert_;
  std::string what_;
  TensorType type_;
  DType dtype_;
  size_t size_;  // of an element in the program
  bool narrowed_, dynamic_;
  Block copy_;
  Buffer buffer_ = nullptr;
  void *memory_ = nullptr;  // that the buffer is a view of
  size_t viewed_ = 0;       // bytes of it
};

}  // namespace edgekit::litert
