# Where the headers of torch, the headers and libraries of ExecuTorch, and nlohmann/json, stb and Monocypher are:
# EDGEKIT_TORCH_INCLUDE, EDGEKIT_EXECUTORCH, EDGEKIT_HEADERS. gpu_code.cmake asks for NVRTC.
#
# packages.py finds them: in the building interpreter's environment, or in their wheels, which a cross build always
# needs. Either may be set beforehand, empty to leave that binding out.

function(edgekit_find_package name variable)
  if(DEFINED ${variable})
    return()
  endif()
  execute_process(
    COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/packages.py ${name}
            ${CMAKE_BINARY_DIR}/packages ${EDGEKIT_PLATFORM}
    OUTPUT_VARIABLE found
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "edgekit needs ${name} to build: the lines above say why it was not found. ${ARGN}")
  endif()
  set(${variable} ${found} CACHE PATH "From ${name}" FORCE)
endfunction()

find_package(Python REQUIRED COMPONENTS Interpreter)
if(CMAKE_CROSSCOMPILING AND NOT DEFINED EDGEKIT_TORCH_INCLUDE)
  set(EDGEKIT_TORCH_INCLUDE "") # devices run programs, not torch
endif()
edgekit_find_package(torch EDGEKIT_TORCH_INCLUDE)
edgekit_find_package(executorch EDGEKIT_EXECUTORCH)
if(EDGEKIT_EXECUTORCH)
  edgekit_find_package(headers EDGEKIT_HEADERS)
endif()
