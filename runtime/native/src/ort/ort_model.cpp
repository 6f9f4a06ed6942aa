#include "ort/ort_model.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace omnilive {

namespace {

constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector register
constexpr int kLogErrors = 3;

std::size_t bytes_of(Element element, const std::vector<std::int64_t>& shape) {
  constexpr std::size_t kMost = PTRDIFF_MAX - kAlignment;  // no array of the language is larger
  std::size_t bytes = size_of(element);
  for (const std::int64_t size : shape) {
    if (size < 0) {
      throw std::invalid_argument("a tensor has no negative size");
    }
    if (__builtin_mul_overflow(bytes, static_cast<std::size_t>(size), &bytes) || bytes > kMost) {
      throw std::invalid_argument("a tensor is too large");
    }
  }
  return bytes;
}

std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  }
  return text + "]";
}

bool fits(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& wanted) {
  return std::ranges::equal(shape, wanted,
                            [](std::int64_t size, std::int64_t w) { return w < 0 || size == w; });
}

}  // namespace

std::size_t size_of(Element element) {
  switch (element) {
    case Element::uint8:
    case Element::int8:
      return 1;
    case Element::float16:
      return 2;
    case Element::float32:
    case Element::int32:
      return 4;
    case Element::int64:
      return 8;
  }
  throw std::invalid_argument("an element type that is not passed here: " +
                              std::to_string(static_cast<int>(element)));
}

Tensor::Tensor(Element element, std::vector<std::int64_t> shape)
    : element_(element), shape_(std::move(shape)), bytes_(bytes_of(element, shape_)) {
  const std::size_t room = (bytes_ / kAlignment + 1) * kAlignment;
  data_.reset(std::aligned_alloc(kAlignment, room));
  if (!data_) {
    throw std::bad_alloc();
  }
  std::memset(data_.get(), 0, room);
}

void Tensor::Free::operator()(void* memory) const noexcept { std::free(memory); }

OrtModel::OrtModel(std::shared_ptr<const OrtLibrary> library, const std::string& path,
                   const OrtOptions& options)
    : library_(std::move(library)) {
  const OrtFunctions& call = library_->call();
  OrtSessionOptions* raw_options = nullptr;
  library_->check(call.create_session_options(&raw_options));
  const std::unique_ptr<OrtSessionOptions, void (*)(OrtSessionOptions*)> settings(
      raw_options, call.release_options);
  library_->check(call.set_intra_op_threads(raw_options, options.threads));
  library_->check(call.set_inter_op_threads(raw_options, 1));
  library_->check(call.set_log_severity(raw_options, kLogErrors));
  library_->check(call.add_config(raw_options, "session.intra_op.allow_spinning",
                                  options.spinning ? "1" : "0"));
  if (!options.affinity.empty()) {
    library_->check(call.add_config(raw_options, "session.intra_op_thread_affinities",
                                    options.affinity.c_str()));
  }
  if (!options.memory_arena) {
    library_->check(call.disable_cpu_mem_arena(raw_options));
  }
  if (!options.memory_pattern) {
    library_->check(call.disable_mem_pattern(raw_options));
  }
  OrtSession* session = nullptr;
  library_->check(call.create_session(library_->env(), path.c_str(), raw_options, &session));
  // The library outlives its session.
  session_ = std::shared_ptr<OrtSession>(
      session, [keep = library_](OrtSession* s) { keep->call().release_session(s); });
  inputs_ = specs(true);
  outputs_ = specs(false);
}

std::vector<TensorSpec> OrtModel::specs(bool inputs) const {
  const OrtFunctions& call = library_->call();
  OrtAllocator* allocator = nullptr;
  library_->check(call.get_default_allocator(&allocator));
  std::size_t count = 0;
  library_->check((inputs ? call.get_input_count : call.get_output_count)(session(), &count));
  std::vector<TensorSpec> found;
  for (std::size_t i = 0; i < count; ++i) {
    TensorSpec spec{};
    char* name = nullptr;
    library_->check(
        (inputs ? call.get_input_name : call.get_output_name)(session(), i, allocator, &name));
    spec.name = name;
    library_->check(call.allocator_free(allocator, name));
    OrtTypeInfo* raw_type = nullptr;
    library_->check((inputs ? call.get_input_type : call.get_output_type)(session(), i, &raw_type));
    const std::unique_ptr<OrtTypeInfo, void (*)(OrtTypeInfo*)> type(raw_type, call.release_type);
    const OrtTensorInfo* info = nullptr;
    library_->check(call.as_tensor_info(raw_type, &info));
    if (info == nullptr) {
      throw std::runtime_error(spec.name + " is no tensor");
    }
    int element = 0;
    std::size_t rank = 0;
    library_->check(call.get_element(info, &element));
    library_->check(call.get_rank(info, &rank));
    spec.element = static_cast<Element>(element);
    spec.shape.resize(rank);
    library_->check(call.get_shape(info, spec.shape.data(), rank));
    std::vector<const char*> axes(rank);
    library_->check(call.get_axis_names(info, axes.data(), rank));
    spec.axes.assign(axes.begin(), axes.end());
    found.push_back(std::move(spec));
  }
  return found;
}

OrtCall::OrtCall(std::shared_ptr<const OrtModel> model, const Bound& inputs, const Bound& outputs)
    : model_(std::move(model)) {
  const OrtFunctions& call = model_->library().call();
  OrtIoBinding* binding = nullptr;
  model_->library().check(call.create_binding(model_->session(), &binding));
  binding_ = std::shared_ptr<OrtIoBinding>(
      binding, [keep = model_](OrtIoBinding* b) { keep->library().call().release_binding(b); });
  bind(inputs, model_->inputs(), true);
  bind(outputs, model_->outputs(), false);
}

void OrtCall::run() {
  model_->library().check(
      model_->library().call().run_binding(model_->session(), nullptr, binding_.get()));
}

void OrtCall::bind(const Bound& tensors, const std::vector<TensorSpec>& specs, bool inputs) {
  const OrtLibrary& library = model_->library();
  for (const auto& [name, tensor] : tensors) {
    if (std::ranges::find(specs, name, &TensorSpec::name) == specs.end()) {
      throw std::invalid_argument("the model has no " + name);
    }
  }
  for (const TensorSpec& spec : specs) {
    const auto found = std::ranges::find(tensors, spec.name, &Bound::value_type::first);
    if (found == tensors.end()) {
      throw std::invalid_argument("nothing is bound to " + spec.name);
    }
    const std::shared_ptr<Tensor>& tensor = found->second;
    if (tensor->element() != spec.element || !fits(tensor->shape(), spec.shape)) {
      throw std::invalid_argument(spec.name + " is " + text_of(spec.shape) + " of type " +
                                  std::to_string(static_cast<int>(spec.element)) + ", not " +
                                  text_of(tensor->shape()) + " of type " +
                                  std::to_string(static_cast<int>(tensor->element())));
    }
    OrtValue* raw_value = nullptr;
    library.check(library.call().create_tensor(library.cpu(), tensor->data(), tensor->bytes(),
                                               tensor->shape().data(), tensor->shape().size(),
                                               static_cast<int>(tensor->element()), &raw_value));
    values_.emplace_back(raw_value,
                         [keep = model_](OrtValue* v) { keep->library().call().release_value(v); });
    tensors_.push_back(tensor);
    library.check((inputs ? library.call().bind_input : library.call().bind_output)(
        binding_.get(), spec.name.c_str(), raw_value));
  }
}

}  // namespace omnilive
