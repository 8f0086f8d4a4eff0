// A stand-in for vision_msgs/msg/Detection2DArray of vision_msgs 4 (ROS 2 Humble and newer): the fields that are used.
#pragma once

#include <string>
#include <vector>

#include "sensor_msgs/msg/image.hpp"

namespace geometry_msgs::msg {
struct Point {
  double x = 0, y = 0, z = 0;
};
struct Pose {
  Point position;
};
struct PoseWithCovariance {
  Pose pose;
};
}  // namespace geometry_msgs::msg

namespace vision_msgs::msg {
struct Point2D {
  double x = 0, y = 0;
};
struct Pose2D {
  Point2D position;
  double theta = 0;
};
struct BoundingBox2D {
  Pose2D center;
  double size_x = 0, size_y = 0;
};
struct ObjectHypothesis {
  std::string class_id;
  double score = 0;
};
struct ObjectHypothesisWithPose {
  ObjectHypothesis hypothesis;
  geometry_msgs::msg::PoseWithCovariance pose;
};
struct Detection2D {
  std_msgs::msg::Header header;
  std::vector<ObjectHypothesisWithPose> results;
  BoundingBox2D bbox;
  std::string id;
};
struct Detection2DArray {
  std_msgs::msg::Header header;
  std::vector<Detection2D> detections;
};
}  // namespace vision_msgs::msg
