// edgekit for apps: the Java classes and the JNI library of kernels/bindings/java, with the libraries below them.
plugins {
    id("com.android.library")
}

val binding = rootDir.resolve("../../kernels/bindings/java")
val runtime = file(providers.gradleProperty("edgekit.android").getOrElse(""))

android {
    namespace = "dev.edgekit"
    compileSdk = 35
    ndkVersion = "28.0.13004108" // links for pages of 16 kB without being asked

    defaultConfig {
        minSdk = 26 // as devices/profiles/android-arm64.toml says
        ndk {
            abiFilters += "arm64-v8a"
        }
        externalNativeBuild {
            cmake {
                arguments += listOf(
                    "-DEDGEKIT_JAR=OFF",
                    "-Dedgekit_DIR=$runtime/cmake",
                    "-DANDROID_STL=c++_static",
                    "-DANDROID_SUPPORT_FLEXIBLE_PAGE_SIZES=ON",
                )
            }
        }
        consumerProguardFiles("consumer-rules.pro")
    }
    externalNativeBuild {
        cmake {
            path = binding.resolve("CMakeLists.txt")
        }
    }
    sourceSets["main"].java.srcDir(binding)
    sourceSets["main"].jniLibs.srcDir(layout.buildDirectory.dir("jniLibs"))
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
    packaging {
        jniLibs {
            useLegacyPackaging = false // extractNativeLibs=false: libraries are mapped from the APK
            pickFirsts += "**/libedgekit_*.so" // those that CMake links come by themselves too
        }
    }
}

// libedgekit_runtime.so and what it needs, in the folder of its ABI.
val runtimeLibraries = tasks.register<Copy>("runtimeLibraries") {
    doFirst {
        require(runtime.resolve("lib/libedgekit_runtime.so").isFile) {
            "edgekit.android names no edgekit-runtime for Android: README.md says what that is."
        }
    }
    from(runtime.resolve("lib")) { include("*.so") }
    into(layout.buildDirectory.dir("jniLibs/arm64-v8a"))
}
tasks.named("preBuild") { dependsOn(runtimeLibraries) }
