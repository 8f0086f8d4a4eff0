package dev.edgekit.example

import android.app.Activity
import android.os.Bundle
import android.widget.TextView
import dev.edgekit.EdgekitException
import dev.edgekit.Session
import java.io.File
import java.io.IOException
import kotlin.concurrent.thread

/** Opens the bundle of the app's assets and shows what it scores a few made-up rows. */
class MainActivity : Activity() {
    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        val view = TextView(this)
        setContentView(view)
        // Opening a bundle reads every file of it: not on the thread that draws.
        thread {
            val shown = try {
                score(install())
            } catch (error: EdgekitException) {
                error.message
            } catch (error: IOException) {
                error.message
            }
            runOnUiThread { view.text = shown }
        }
    }

    private fun install(): File = BundleInstaller.install(object : BundleInstaller.Assets {
        override fun list(path: String) = assets.list(path) ?: emptyArray()

        override fun open(path: String) = assets.open(path)
    }, "bundle", filesDir)

    private fun score(bundle: File): String = Session.open(bundle).use { session ->
        session.anomalyStream().use { stream ->
            val row = FloatArray(stream.channels().size)
            repeat(stream.window() - 1) { stream.push(row) }
            val answer = stream.push(row)
            "${session.task()}: ${stream.channels().size} channels, " +
                if (answer == null) "no answer yet" else "score ${answer.score}, alarm ${answer.isAlarm}"
        }
    }
}
