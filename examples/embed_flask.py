"""A server inside of a Flask application: web pages that list live connections and send to one of them.

Run it with ``python -m examples.embed_flask``, connect a device with ``nc localhost 4020`` and give it a name. Then
``curl localhost:5000/devices`` lists it, and ``curl -d hello localhost:5000/devices/NAME`` sends to it.

Each request runs on a thread of the web server's. Threads that are not the library's may call all of it.
"""

import signal
import sys

from flask import Flask, jsonify, request

from examples.devices import SERVER, device_names, start_devices, tell_device
from thousand_island import listener_info

app = Flask(__name__)


@app.get("/devices")
def list_devices():
    return jsonify(device_names())


@app.post("/devices/<name>")
def send_to_device(name):
    try:
        tell_device(name, request.get_data(as_text=True))
    except LookupError as error:
        return str(error), 404
    except TimeoutError:
        return f"{name!r} does not listen", 504
    return "sent"


def main(web_port="5000", device_port="4020"):
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to end in order, as after Ctrl-C
    start_devices(int(device_port))
    print("devices connect to {}:{}".format(*listener_info(SERVER)))
    app.run(port=int(web_port))


if __name__ == "__main__":
    main(*sys.argv[1:])
