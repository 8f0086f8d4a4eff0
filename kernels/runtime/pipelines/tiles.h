// Tiles that cover an axis of an image.
#pragma once

#include <vector>

namespace edgekit {

// One tile along one axis: it begins at `start`, and its outputs from `begin` to before `end` are kept.
struct Tile {
  int start, begin, end;
};

// Tiles so that every kept output is that of the whole image; none if there are no such tiles.
//
// Near a cut the network pads with zeros where the image goes on, so outputs within `halo` of it are dropped. At the
// image's own border a tile lies flush: there the whole image is padded with the same zeros.
std::vector<Tile> tiles_along(int length, int tile, int halo);

}  // namespace edgekit
