"""A server inside of a Django project of one file: views that list live connections and send to one of them.

Run it with ``python -m examples.embed_django``, connect a device with ``nc localhost 4020`` and give it a name. Then
``curl localhost:8000/devices`` lists it, and ``curl -d hello localhost:8000/devices/NAME`` sends to it.

Each request runs on a thread of the web server's. Threads that are not the library's may call all of it.
"""

import signal
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from examples.devices import SERVER, device_names, start_devices, tell_device
from thousand_island import listener_info

settings.configure(ALLOWED_HOSTS=["localhost", "127.0.0.1"], ROOT_URLCONF=__name__)


@require_GET
def list_devices(request):
    return JsonResponse(device_names(), safe=False)


@require_POST
def send_to_device(request, name):
    try:
        tell_device(name, request.body.decode())
    except LookupError as error:
        return HttpResponse(str(error), status=404)
    except TimeoutError:
        return HttpResponse(f"{name!r} does not listen", status=504)
    return HttpResponse("sent")


urlpatterns = [path("devices", list_devices), path("devices/<name>", send_to_device)]


def main(web_port="8000", device_port="4020"):
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to end in order, as after Ctrl-C
    start_devices(int(device_port))
    print("devices connect to {}:{}".format(*listener_info(SERVER)))
    # The reloader would run all of this in a second process as well, and that one would find the port taken.
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", f"127.0.0.1:{web_port}"])


if __name__ == "__main__":
    main(*sys.argv[1:])
