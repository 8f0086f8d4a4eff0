# find_package(edgekit): the targets edgekit::runtime, and edgekit::litert for applications that run `.tflite` programs on
# LiteRT themselves (edgekit/litert.h), from the installed package edgekit-runtime.
#
#     cmake -S . -B build -Dedgekit_DIR=$(python -c "import edgekit_runtime; print(edgekit_runtime.__path__[0])")/cmake
#
# A program for another machine is linked to the libraries of a bundle for it: -Dedgekit_LIBRARY_DIR=BUNDLE/lib

get_filename_component(edgekit_root ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
set(edgekit_LIBRARY_DIR ${edgekit_root}/lib CACHE PATH "The folder with libedgekit_runtime.so")
foreach(library IN ITEMS runtime litert)
  if(NOT TARGET edgekit::${library})
    add_library(edgekit::${library} SHARED IMPORTED)
    set_target_properties(
      edgekit::${library} PROPERTIES IMPORTED_LOCATION ${edgekit_LIBRARY_DIR}/libedgekit_${library}.so
                                     INTERFACE_INCLUDE_DIRECTORIES ${edgekit_root}/include
                                     INTERFACE_LINK_OPTIONS "-Wl,-rpath-link,${edgekit_LIBRARY_DIR}")
  endif()
endforeach()
