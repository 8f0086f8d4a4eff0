# Where the headers of torch and the headers and libraries of ExecuTorch are: EDGEKIT_TORCH_INCLUDE, EDGEKIT_EXECUTORCH.
#
# Both may be set beforehand (a cross build does so). Otherwise packages.py finds them: in the building interpreter's
# environment, or in their wheels.

if(NOT DEFINED EDGEKIT_TORCH_INCLUDE OR NOT DEFINED EDGEKIT_EXECUTORCH)
  find_package(Python REQUIRED COMPONENTS Interpreter)
endif()

function(edgekit_find_package name variable)
  if(DEFINED ${variable})
    return()
  endif()
  execute_process(
    COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/packages.py ${name} ${CMAKE_BINARY_DIR}/packages
    OUTPUT_VARIABLE found
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "edgekit needs the headers of ${name} to build: the lines above say why they were not found.")
  endif()
  set(${variable} ${found} CACHE PATH "From ${name}" FORCE)
endfunction()

edgekit_find_package(torch EDGEKIT_TORCH_INCLUDE)
edgekit_find_package(executorch EDGEKIT_EXECUTORCH)
