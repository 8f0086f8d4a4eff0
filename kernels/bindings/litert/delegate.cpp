// A delegate plugin, which TensorFlow Lite's interpreters load by name: Python's load_delegate("libedgekit_litert.so").

#include <cstdlib>
#include <cstring>

#include "edgekit/litert.h"
#include "tflite_node.h"

namespace edgekit::litert_binding {
namespace {

struct OurDelegate {
  tflite::Delegate base{};
  int threads = 0;
};

// The operator that a node of the delegate's stands for: one each, so that what lies between two of them is a tensor of
// the interpreter.
void *init_node(tflite::Context *context, const char *buffer, size_t) {
  const auto &params = *reinterpret_cast<const tflite::DelegateParams *>(buffer);
  TfliteNode *made = nullptr;
  const auto report = [&](const char *sentence) { context->ReportError(context, "%s", sentence); };
  guarded(
      [&] {
        tflite::Node *node = nullptr;
        tflite::Registration *registration = nullptr;
        if (params.nodes_to_replace->size != 1 ||
            context->GetNodeAndRegistration(context, params.nodes_to_replace->data[0], &node, &registration) !=
                tflite::kOk)
          throw failure("edgekit: this interpreter puts operators together in a way that the delegate does not know.");
        auto found = std::make_unique<TfliteNode>();
        found->code = registration->custom_name;
        found->kernel = make_kernel(found->code);
        found->threads = static_cast<OurDelegate *>(params.delegate->data)->threads;
        found->inputs.assign(node->inputs->data, node->inputs->data + node->inputs->size);
        found->outputs.assign(node->outputs->data, node->outputs->data + node->outputs->size);
        made = found.release();
      },
      report);
  return made;
}

int prepare_delegate(tflite::Context *context, tflite::Delegate *delegate) {
  const auto report = [&](const char *sentence) { context->ReportError(context, "%s", sentence); };
  const auto check = [](int status) {
    if (status != tflite::kOk) throw failure("edgekit: the interpreter refused the delegate.");
  };
  const bool done = guarded(
      [&] {
        tflite::IntArray *plan = nullptr;
        check(context->GetExecutionPlan(context, &plan));
        std::vector<int> ours;
        for (int place = 0; place < plan->size; ++place) {
          tflite::Node *node = nullptr;
          tflite::Registration *registration = nullptr;
          check(context->GetNodeAndRegistration(context, plan->data[place], &node, &registration));
          if (registration->builtin_code != tflite::kCustom || !is_ours(registration->custom_name)) continue;
          make_kernel(registration->custom_name);  // what is not there is said now
          ours.push_back(plan->data[place]);
        }
        tflite::Registration registration{};
        registration.init = init_node;
        registration.free = free_node;
        registration.prepare = prepare_node;
        registration.invoke = invoke_node;
        registration.custom_name = "edgekit";
        registration.version = 1;
        for (const int index : ours) {
          const int one[] = {1, index};  // size and elements
          check(context->ReplaceNodeSubsetsWithDelegateKernels(
              context, registration, reinterpret_cast<const tflite::IntArray *>(one), delegate));
        }
      },
      report);
  return done ? tflite::kOk : tflite::kError;
}

int parse_threads(const char *text) {
  char *end = nullptr;
  const long count = std::strtol(text, &end, 10);
  if (end == text || *end != '\0' || count < 1 || count > 1024)
    throw failure("edgekit: threads is '%s': give 1 or more.", text);
  return static_cast<int>(count);
}

}  // namespace
}  // namespace edgekit::litert_binding

using namespace edgekit::litert_binding;

extern "C" {

struct TfLiteDelegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                                     void (*report_error)(const char *)) {
  OurDelegate *made = nullptr;
  const auto report = [&](const char *sentence) {
    if (report_error != nullptr) report_error(sentence);
  };
  guarded(
      [&] {
        auto delegate = std::make_unique<OurDelegate>();
        for (size_t option = 0; option < count; ++option) {
          if (std::strcmp(keys[option], "threads") != 0)
            throw failure("edgekit: there is no option '%s': it is threads.", keys[option]);
          delegate->threads = parse_threads(values[option]);
        }
        delegate->base.data = delegate.get();
        delegate->base.Prepare = prepare_delegate;
        // Without it the graph is prepared before the delegate is asked, and stops at operators that are not there yet.
        delegate->base.flags = tflite::kAllowDynamicTensors;
        made = delegate.release();
      },
      report);
  return made == nullptr ? nullptr : reinterpret_cast<struct TfLiteDelegate *>(&made->base);
}

void tflite_plugin_destroy_delegate(struct TfLiteDelegate *delegate) {
  if (delegate != nullptr) delete static_cast<OurDelegate *>(reinterpret_cast<tflite::Delegate *>(delegate)->data);
}

}  // extern "C"
