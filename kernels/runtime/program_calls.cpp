#include "program_calls.h"

#include <cstdint>
#include <cstring>

#include "core/failure.h"

namespace edgekit {
namespace {

// Fields of the schema's tables, by their number; kinds of an instruction.
namespace plan {
constexpr int kName = 0, kValues = 2, kOutputs = 4, kChains = 5, kOperators = 6, kDelegates = 7;
}
namespace value {
constexpr int kKind = 0, kContent = 1;
constexpr uint8_t kTensor = 4 + 1, kTensors = 9 + 1, kOptionalTensors = 10 + 1;  // by place in the union, from 1
}  // namespace value
namespace instruction {
constexpr int kKind = 0, kArguments = 1;
constexpr uint8_t kKernel = 1, kDelegate = 2;
}  // namespace instruction
constexpr int kPlans = 1, kInstructions = 2, kCalled = 0, kCalledWith = 1, kOperatorName = 0, kOverload = 1;
constexpr int kDelegateName = 0, kItems = 0, kAllocation = 6, kMemory = 0;

// Bytes of a flatbuffer: little-endian; a table begins with the way back to its list of fields, 16 bits each, a vector
// or string with its length.
class Flatbuffer {
 public:
  Flatbuffer(const void *data, size_t size, const std::string &file)
      : bytes_(static_cast<const uint8_t *>(data)), size_(size), file_(file) {}

  size_t root() const { return follow(0); }
  size_t follow(size_t place) const { return place + read<uint32_t>(place); }
  // The place of a table's field, 0 if it has none.
  size_t field(size_t table, int index) const {
    const int64_t fields = static_cast<int64_t>(table) - read<int32_t>(table);
    if (fields < 0) throw damaged();
    const size_t entry = 4 + 2 * static_cast<size_t>(index);
    if (entry + 2 > read<uint16_t>(static_cast<size_t>(fields))) return 0;
    const uint16_t offset = read<uint16_t>(static_cast<size_t>(fields) + entry);
    return offset == 0 ? 0 : table + offset;
  }
  template <typename Number>
  Number number(size_t table, int index) const {
    const size_t place = field(table, index);
    return place == 0 ? Number{} : read<Number>(place);
  }
  std::string text(size_t table, int index) const {
    const size_t place = field(table, index);
    if (place == 0) return "";
    const size_t start = follow(place), length = read<uint32_t>(start);
    if (length > size_ - start - 4) throw damaged();
    return std::string(reinterpret_cast<const char *>(bytes_) + start + 4, length);
  }
  // The tables of a vector.
  std::vector<size_t> tables(size_t table, int index) const {
    std::vector<size_t> found;
    const size_t place = field(table, index);
    if (place == 0) return found;
    const size_t start = follow(place), count = read<uint32_t>(start);
    for (size_t item = 0; item < count; ++item) found.push_back(follow(start + 4 + 4 * item));
    return found;
  }

  // A vector's numbers.
  std::vector<int32_t> integers(size_t table, int index) const {
    std::vector<int32_t> found;
    const size_t place = field(table, index);
    if (place == 0) return found;
    const size_t start = follow(place), count = read<uint32_t>(start);
    for (size_t item = 0; item < count; ++item) found.push_back(read<int32_t>(start + 4 + 4 * item));
    return found;
  }

  Failure damaged() const { return Failure(file_ + " is damaged: copy the bundle again or export it anew."); }

 private:
  template <typename Number>
  Number read(size_t place) const {
    Number number;
    if (place > size_ || size_ - place < sizeof number) throw damaged();
    std::memcpy(&number, bytes_ + place, sizeof number);
    return number;
  }

  const uint8_t *bytes_;
  size_t size_;
  const std::string &file_;
};

// The planned buffers of values and, where they are lists, of their items.
void add_buffers(const Flatbuffer &program, const std::vector<size_t> &values, const std::vector<int32_t> &indices,
                 std::vector<size_t> &buffers, bool are_items = false) {
  for (const int32_t index : indices) {
    if (index < 0) continue;  // an optional tensor that is not there
    if (static_cast<size_t>(index) >= values.size()) throw program.damaged();
    const size_t known = values[static_cast<size_t>(index)], content = program.field(known, value::kContent);
    const uint8_t kind = program.number<uint8_t>(known, value::kKind);
    if (content == 0) continue;
    if (kind == value::kTensors || kind == value::kOptionalTensors) {
      // A list in a list is none of ExecuTorch's; it would not end if the file is damaged.
      if (!are_items) add_buffers(program, values, program.integers(program.follow(content), kItems), buffers, true);
    } else if (kind == value::kTensor) {
      const size_t allocation = program.field(program.follow(content), kAllocation);
      const uint32_t memory = allocation == 0 ? 0 : program.number<uint32_t>(program.follow(allocation), kMemory);
      if (memory > 0) buffers.push_back(memory - 1);
    }
  }
}

}  // namespace

MethodCalls program_calls(const void *data, size_t size, const std::string &method, const std::string &file) {
  const Flatbuffer program(data, size, file);
  MethodCalls calls;
  auto &chains = calls.chains;
  for (const size_t plan : program.tables(program.root(), kPlans)) {
    if (program.text(plan, plan::kName) != method) continue;
    const std::vector<size_t> values = program.tables(plan, plan::kValues);
    add_buffers(program, values, program.integers(plan, plan::kOutputs), calls.output_buffers);
    std::vector<std::string> operators, delegates;
    for (const size_t known : program.tables(plan, plan::kOperators)) {
      const std::string overload = program.text(known, kOverload);
      operators.push_back(program.text(known, kOperatorName) + (overload.empty() ? "" : ".") + overload);
    }
    for (const size_t known : program.tables(plan, plan::kDelegates))
      delegates.push_back(program.text(known, kDelegateName));
    for (const size_t chain : program.tables(plan, plan::kChains)) {
      chains.emplace_back();
      for (const size_t step : program.tables(chain, kInstructions)) {
        const uint8_t kind = program.number<uint8_t>(step, instruction::kKind);
        chains.back().push_back({"", kind == instruction::kDelegate, {}});
        if (kind != instruction::kKernel && kind != instruction::kDelegate) continue;
        const size_t arguments = program.field(step, instruction::kArguments);
        if (arguments == 0) throw program.damaged();
        const size_t call = program.follow(arguments);
        const auto called = static_cast<size_t>(program.number<int32_t>(call, kCalled));
        const std::vector<std::string> &names = kind == instruction::kKernel ? operators : delegates;
        if (called >= names.size()) throw program.damaged();
        chains.back().back().name = names[called];
        add_buffers(program, values, program.integers(call, kCalledWith), chains.back().back().buffers);
      }
    }
  }
  return calls;
}

}  // namespace edgekit
