# find_package(edgekit): the targets edgekit::runtime, and edgekit::litert for applications that run `.tflite` programs on
# LiteRT themselves (edgekit/litert.h), from the installed package edgekit-runtime.
#
#     cmake -S . -B build -Dedgekit_DIR=$(python -c "import edgekit_runtime; print(edgekit_runtime.__path__[0])")/cmake

if(NOT TARGET edgekit::runtime)
  get_filename_component(edgekit_root ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
  add_library(edgekit::runtime SHARED IMPORTED)
  set_target_properties(
    edgekit::runtime PROPERTIES IMPORTED_LOCATION ${edgekit_root}/lib/libedgekit_runtime.so
                                INTERFACE_INCLUDE_DIRECTORIES ${edgekit_root}/include
                                INTERFACE_LINK_OPTIONS "-Wl,-rpath-link,${edgekit_root}/lib")
endif()
if(NOT TARGET edgekit::litert)
  get_filename_component(edgekit_root ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
  add_library(edgekit::litert SHARED IMPORTED)
  set_target_properties(
    edgekit::litert PROPERTIES IMPORTED_LOCATION ${edgekit_root}/lib/libedgekit_litert.so
                               INTERFACE_INCLUDE_DIRECTORIES ${edgekit_root}/include
                               INTERFACE_LINK_OPTIONS "-Wl,-rpath-link,${edgekit_root}/lib")
endif()
