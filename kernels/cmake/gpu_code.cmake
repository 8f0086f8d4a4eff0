# EDGEKIT_GPU_CODE: the file of GPU code that libedgekit_ops.so carries (gpu_code.py). Where it is not set beforehand, the
# kernels are compiled, by EDGEKIT_NVRTC_12 and EDGEKIT_NVRTC_13, the folders of NVRTC's packages; empty leaves it out.

set(gpu_code_py ${CMAKE_CURRENT_LIST_DIR}/gpu_code.py)
if(NOT DEFINED EDGEKIT_GPU_CODE)
  set(hint "Or set EDGEKIT_GPU_CODE to nothing, for a library without GPU code: pip -Ccmake.define.EDGEKIT_GPU_CODE= does.")
  edgekit_find_package(nvidia-cuda-nvrtc-cu12 EDGEKIT_NVRTC_12 "${hint}")
  edgekit_find_package(nvidia-cuda-nvrtc EDGEKIT_NVRTC_13 "${hint}")
  set(gpu_code ${CMAKE_CURRENT_BINARY_DIR}/gpu_code.bin)
  file(GLOB gpu_sources CONFIGURE_DEPENDS ops/*/*.cu)
  add_custom_command(
    OUTPUT ${gpu_code}
    COMMAND ${Python_EXECUTABLE} ${gpu_code_py} ${gpu_code} --nvrtc ${EDGEKIT_NVRTC_12} ${EDGEKIT_NVRTC_13} --depfile
            ${gpu_code}.d
    DEPENDS ${gpu_code_py} ${CMAKE_CURRENT_SOURCE_DIR}/gpu_images.py ${gpu_sources}
    DEPFILE ${gpu_code}.d
    COMMENT "Compiling the GPU's kernels"
    VERBATIM)
elseif(EDGEKIT_GPU_CODE)
  get_filename_component(gpu_code ${EDGEKIT_GPU_CODE} ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
  execute_process(COMMAND ${Python_EXECUTABLE} ${gpu_code_py} ${gpu_code} --check RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "EDGEKIT_GPU_CODE does not fit: the line above says why.")
  endif()
else()
  set(gpu_code "")
endif()

target_sources(edgekit_ops PRIVATE cuda/embedded_code.cpp)
if(gpu_code)
  set_source_files_properties(
    cuda/embedded_code.cpp PROPERTIES OBJECT_DEPENDS ${gpu_code} COMPILE_DEFINITIONS "EDGEKIT_GPU_CODE=\"${gpu_code}\"")
endif()
