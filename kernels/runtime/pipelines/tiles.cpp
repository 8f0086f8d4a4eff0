#include "tiles.h"

#include <algorithm>

namespace edgekit {

std::vector<Tile> tiles_along(int length, int tile, int halo) {
  std::vector<Tile> tiles;
  if (tile > length) return tiles;
  for (int start = 0, done = 0; done < length; start = std::min(done - halo, length - tile)) {
    const int end = start + tile == length ? length : start + tile - halo;
    if (end <= done) return {};
    tiles.push_back({start, done, end});
    done = end;
  }
  return tiles;
}

}  // namespace edgekit
