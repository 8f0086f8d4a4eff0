// ros2 run edgekit_objects object_node --ros-args -p bundle:=FOLDER -r image:=/camera/image_raw
#include <cstdio>
#include <exception>
#include <memory>

#include "object_node.h"

int main(int count, char **arguments) {
  rclcpp::init(count, arguments);
  int code = 0;
  try {
    rclcpp::spin(std::make_shared<ObjectNode>());
  } catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    code = 1;
  }
  rclcpp::shutdown();
  return code;
}
