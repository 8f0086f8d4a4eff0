#include "tokenizer.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace edgekit {
namespace {

class PythonTextStream {
 public:
  explicit PythonTextStream(const PythonTokenizer &tokenizer) : stream_(tokenizer.get().stream()) {
    if (!stream_) raise_last_error();
  }

  nb::str text_of(int64_t token) {
    size_t size = 0;
    const char *piece = stream_->add(token, &size);
    if (piece == nullptr) raise_last_error();
    return nb::str(piece, size);
  }

 private:
  TextStreamPointer stream_;
};

}  // namespace

PythonTokenizer::PythonTokenizer(const std::string &file) : owned_(Tokenizer::open(file.c_str())) {
  if (!owned_) raise_last_error();
  tokenizer_ = owned_.get();
}

std::vector<int64_t> PythonTokenizer::encode(nb::bytes text) const { return encoded(*tokenizer_, text); }

nb::str PythonTokenizer::decode(const std::vector<int64_t> &tokens) const {
  size_t size = 0;
  if (!tokenizer_->decode(tokens.data(), tokens.size(), nullptr, 0, &size)) raise_last_error();
  std::string text(size, '\0');
  if (!tokenizer_->decode(tokens.data(), tokens.size(), text.data(), size, &size)) raise_last_error();
  return nb::str(text.data(), text.size());
}

void bind_tokenizer(nb::module_ &module) {
  nb::class_<PythonTokenizer>(module, "Tokenizer")
      .def(nb::init<const std::string &>())
      .def_prop_ro("size", [](const PythonTokenizer &self) { return self.get().size(); })
      .def("encode", &PythonTokenizer::encode)
      .def("decode", &PythonTokenizer::decode);
  nb::class_<PythonTextStream>(module, "TextStream")
      .def(nb::init<const PythonTokenizer &>(), nb::keep_alive<1, 2>())
      .def("text_of", &PythonTextStream::text_of);
}

}  // namespace edgekit
