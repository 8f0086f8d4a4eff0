// Connected components of a map of logits.
#pragma once

#include <vector>

#include "edgekit/segment.h"

namespace edgekit {

void find_objects(const float *logits, ImageSize size, float threshold, Order order,
                  std::vector<SegmentedObject> &objects);

}  // namespace edgekit
