plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "dev.edgekit.example"
    compileSdk = 35

    defaultConfig {
        applicationId = "dev.edgekit.example"
        minSdk = 26
        targetSdk = 35
        versionCode = 1
        versionName = "1"
        ndk {
            abiFilters += "arm64-v8a"
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
    kotlinOptions {
        jvmTarget = "1.8"
    }
}

dependencies {
    implementation(project(":edgekit"))
}
