// What a program for ExecuTorch calls, by name.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace edgekit {

// An instruction of a method: of an operator its name with the overload ("aten::add.out"), of a delegate its own
// ("XnnpackBackend"), of anything else "".
struct CallText {
  std::string name;
  bool is_delegate = false;
  // The planned buffers that its tensors lie in, from 0.
  std::vector<size_t> buffers;
};

struct MethodCalls {
  std::vector<std::vector<CallText>> chains;
  std::vector<size_t> output_buffers;  // of its outputs, as above
};

// A method's instructions; none where there is no such method. Reads the file's head, the flatbuffer that
// ExecuTorch's schema/program.fbs describes. Throws Failure with `file` in its sentence where it is damaged.
MethodCalls program_calls(const void *data, size_t size, const std::string &method,
                          const std::string &file);

}  // namespace edgekit
