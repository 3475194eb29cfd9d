#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A server that speaks the Kubernetes API as far as a watcher of EndpointSlices and Services needs it.

kubernetes_server.py [--host ADDRESS] [--port PORT] [--control PORT] [--cert FILE --key FILE [--client-ca FILE]]

It prints "PORT CONTROL" as soon as it listens. It has: lists with limit, continue, labelSelector and a resourceVersion
(which is opaque: "v12"); watches with BOOKMARK, timeoutSeconds, and ADDED and DELETED where an object begins or ceases to
match; 410 in all its forms; 401 and 403; TLS, also with the client's certificate; merge patches of a Service's status,
with 409 for one that was made of an older object.

Tests change it by POST of a list of commands, each an object of one key, to the control port (127.0.0.1, plain HTTP):

  put OBJECT                 make or replace it (kind EndpointSlice or Service)
  delete [KIND, NS, NAME]
  get [KIND, NS, NAME]       the object is in the answer
  slice {name, service, namespace?, type?, ports?: {NAME: NUMBER}, ready?, draining?, unready?: [ADDRESS], zones?: {ADDRESS: [ZONE]}}
                             an EndpointSlice; what has zones is hinted to them
  bulk {service, slices, each, port}   many of them, with addresses from 10.0.0.0 on
  set {SETTING: VALUE}       settings are those of State.settings below
  event LINE                 send this line, or an ERROR of that code, down all streams
  close "end" | "abort"      all streams
  compact null               forget the past: watches and pages from before get 410

The answer is a list of what each gave. GET /stats: how often it was asked for what.
"""

import argparse
import base64
import copy
import json
import re
import select
import socket
import ssl
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KINDS = {"endpointslices": "EndpointSlice", "services": "Service"}


class Refusal(Exception):
    """An answer that is a Status."""

    def __init__(self, code, reason, message):
        super().__init__(message)
        self.code = code
        self.status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                       "reason": reason, "code": code}


# ---- selectors ----


def requirements(selector):
    """Pieces between commas, except those within parentheses."""
    return [r for r in (p.strip() for p in re.split(r",(?![^(]*\))", selector or "")) if r]


def satisfies(labels, requirement):
    m = re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", requirement)
    if m:
        listed = labels.get(m[1]) in [v.strip() for v in m[3].split(",")]
        return listed if m[2] == "in" else not listed
    m = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", requirement)
    if m:
        return (labels.get(m[1]) == m[3]) == (m[2] != "!=")
    if requirement.startswith("!"):
        return requirement[1:] not in labels
    return requirement in labels


def matches(obj, namespace, selector):
    if obj is None or namespace not in (None, obj["metadata"].get("namespace")):
        return False
    labels = obj["metadata"].get("labels") or {}
    return all(satisfies(labels, r) for r in requirements(selector))


# ---- what there is ----


class State:
    def __init__(self):
        self.changed = threading.Condition()
        self.objects = {"EndpointSlice": {}, "Service": {}}
        self.log = []  # (number, kind, before, after): what watches are told
        self.number = 1
        self.floor = 0  # what is older is compacted
        self.page_number = 0  # pages of lists begun before are compacted
        self.orders = []  # (verb, argument) to all streams; each has read so many
        self.stats = {"lists": 0, "pages": 0, "watches": 0, "patches": 0, "open": 0, "denied": 0, "paths": []}
        self.settings = {
            "tokens": None,  # that are valid; null: nobody is asked for one
            "deny": [],  # "VERB RESOURCE", as RBAC
            "bookmark_s": 60,
            "hold": False,  # requests are taken, and not answered
            "api": ["v1", "v1beta1"],  # versions of discovery.k8s.io that there are
            "page_max": 1000,  # objects
            "list_410": 0,  # so many lists (or pages) are refused
            "list_again": 0,  # so many pages are followed by themselves
            "watch_410": 0,  # so many watches begin with an ERROR
            "watch_410_status": 0,  # so many watches have it as their status
            "patch_409": 0,
            "fail": [0, 0],  # status, and how many requests have it
            "short": 0,  # so many watches end at once
            "cut": 0,  # so many watches end after their first line, which is a bookmark
        }

    def take(self, setting):
        """Is there one left of a setting that counts?"""
        if self.settings[setting] <= 0:
            return False
        self.settings[setting] -= 1
        return True

    def store(self, kind, key, obj):
        self.number += 1
        before = self.objects[kind].get(key)
        if obj is None:
            self.objects[kind].pop(key, None)
            after = None
            if before:
                before = copy.deepcopy(before)
                before["metadata"]["resourceVersion"] = version(self.number)
        else:
            obj["metadata"]["resourceVersion"] = version(self.number)
            obj["metadata"].setdefault("uid", f"uid-{self.number}")
            after = self.objects[kind][key] = obj
        self.log.append((self.number, kind, before, after))
        self.changed.notify_all()


def version(number):
    return f"v{number}"


def number_of(text):
    if not re.fullmatch(r"v\d+", text or ""):
        raise Refusal(400, "BadRequest", f"invalid resource version {text!r}")
    return int(text[1:])


state = State()


# ---- control ----


def endpoint(address, conditions, zones):
    e = {"addresses": [address], "conditions": conditions}
    if zones:
        e["hints"] = {"forZones": [{"name": z} for z in zones]}
    return e


def make_slice(s):
    zones = s.get("zones") or {}
    groups = (("ready", {"ready": True, "serving": True, "terminating": False}),
              ("draining", {"ready": False, "serving": True, "terminating": True}),
              ("unready", {"ready": False, "serving": False, "terminating": False}))
    ports = s.get("ports", {"http": 80})
    return {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"name": s["name"], "namespace": s.get("namespace", "default"),
                         "labels": {"kubernetes.io/service-name": s["service"]}},
            "addressType": s.get("type", "IPv4"),
            "ports": [{"name": n, "port": p, "protocol": "TCP"} for n, p in ports.items()],
            "endpoints": [endpoint(a, dict(c), zones.get(a)) for g, c in groups for a in s.get(g) or []]}


def put(obj):
    state.store(obj["kind"], (obj["metadata"].get("namespace", "default"), obj["metadata"]["name"]), obj)


def bulk(b):
    for i in range(b["slices"]):
        numbers = range(i * b["each"], (i + 1) * b["each"])
        ready = [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in (k + 256 for k in numbers)]
        made = make_slice({"name": f"{b['service']}-{i:05}", "service": b["service"], "ready": ready,
                           "ports": {"http": b.get("port", 80)}})
        for e, a in zip(made["endpoints"], ready):
            e["nodeName"] = f"node-{a}"
            e["targetRef"] = {"kind": "Pod", "namespace": "default", "name": f"pod-{a}", "uid": f"{i:08}-0000-0000-0000-{a}"}
            e["zone"] = "zone-a"
        put(made)


def command(verb, what):
    if verb == "put":
        put(what)
    elif verb == "slice":
        put(make_slice(what))
    elif verb == "bulk":
        bulk(what)
    elif verb == "delete":
        state.store(what[0], tuple(what[1:]), None)
    elif verb == "get":
        return state.objects[what[0]].get(tuple(what[1:]))
    elif verb == "set":
        unknown = set(what) - set(state.settings)
        if unknown:
            raise KeyError(f"no such setting: {unknown}")
        state.settings.update(what)
    elif verb in ("event", "close"):
        state.orders.append((verb, what))
    elif verb == "compact":
        state.floor = state.page_number = state.number + 1
        state.number += 1
    else:
        raise KeyError(f"no such command: {verb}")
    state.changed.notify_all()
    return None


class Control(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, code, what):
        body = json.dumps(what).encode() + b"\n"
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with state.changed:
            self.answer(200, state.stats)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            with state.changed:
                result = [command(verb, what) for c in json.loads(body) for verb, what in c.items()]
                self.answer(200, result)
        except (KeyError, ValueError, TypeError) as e:
            self.answer(400, str(e))


# ---- the API ----


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    # -- what is asked, and by whom --

    def parse(self):
        url = urlsplit(self.path)
        self.query = {k: v[-1] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        m = re.fullmatch(r"(?:/api/v1|/apis/discovery\.k8s\.io/(\w+))(?:/namespaces/([^/]+))?/(services|endpointslices)"
                         r"(?:/([^/]+)/(status))?", url.path)
        if not m or (m[3] == "services") == bool(m[1]) or (m[1] and m[1] not in state.settings["api"]):
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        self.namespace, self.resource, self.name = m[2], m[3], m[4]
        self.kind = KINDS[m[3]]

    def authorize(self, verb):
        tokens = state.settings["tokens"]
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if tokens is not None and given not in tokens:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        resource = self.resource + ("/status" if self.name else "")
        if f"{verb} {resource}" in state.settings["deny"]:
            raise Refusal(403, "Forbidden", f'{resource} is forbidden: User "system:serviceaccount:default:shunt" cannot '
                          f'{verb} resource "{resource}" in API group "" in the namespace "{self.namespace or ""}"')
        code, left = state.settings["fail"]
        if left > 0:
            state.settings["fail"] = [code, left - 1]
            raise Refusal(code, "InternalError", "as it was told to fail")

    def answer(self, code, what):
        body = json.dumps(what).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_request(self, work):
        self.sent = False
        self.close_connection = False
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        while state.settings["hold"]:
            time.sleep(0.05)
        try:
            with state.changed:
                state.stats["paths"] = (state.stats["paths"] + [self.path])[-200:]
                self.parse()
                result = work()
            if result:
                result()
        except Refusal as r:
            with state.changed:
                state.stats["denied"] += r.code in (401, 403)
            self.answer(r.code, r.status)
        except OSError:
            self.close_connection = True

    def do_GET(self):
        self.handle_request(self.get)

    def do_PATCH(self):
        self.handle_request(self.patch)

    def get(self):
        """Under the lock; what is to be sent is returned, and sent without."""
        if self.query.get("watch") in ("1", "true"):
            return self.begin_watch()
        return self.make_list()

    # -- lists --

    def make_list(self):
        state.stats["pages" if "continue" in self.query else "lists"] += 1
        self.authorize("list")
        if state.take("list_410"):
            raise Refusal(410, "Expired", "The provided continue parameter is too old to display a consistent list result.")
        first, number, start = self.continued()
        limit = min(int(self.query.get("limit", 0)) or sys.maxsize, state.settings["page_max"])
        found = sorted(k for k, o in state.objects[self.kind].items()
                       if matches(o, self.namespace, self.query.get("labelSelector")) and (first or k >= start))
        page, rest = found[:limit], found[limit:]
        meta = {"resourceVersion": version(number)}
        if state.take("list_again"):
            meta["continue"] = self.query.get("continue", base64.urlsafe_b64encode(json.dumps([number, []]).encode()).decode())
        elif rest:
            token = json.dumps([number, list(rest[0])]).encode()
            meta["continue"] = base64.urlsafe_b64encode(token).decode()
            meta["remainingItemCount"] = len(rest)
        what = {"kind": self.kind + "List", "apiVersion": "v1", "metadata": meta,
                "items": [state.objects[self.kind][k] for k in page]}
        body = json.dumps(what).encode()
        return lambda: self.send_body(body)

    def continued(self):
        token = self.query.get("continue")
        if not token:
            return True, state.number, ()
        number, start = json.loads(base64.urlsafe_b64decode(token))
        if number < state.page_number:
            raise Refusal(410, "Expired", "The provided continue parameter is too old to display a consistent list result.")
        return False, number, tuple(start)

    def send_body(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # -- watches --

    def begin_watch(self):
        state.stats["watches"] += 1
        self.authorize("watch")
        since = number_of(self.query.get("resourceVersion"))
        too_old = since < state.floor or state.take("watch_410")
        if state.take("watch_410_status"):
            raise Refusal(410, "Gone", f"too old resource version: {since}")
        orders = len(state.orders)
        if state.take("short"):
            return lambda: self.send_stream([])
        if state.take("cut"):
            return lambda: self.send_stream([self.bookmark_at(since)])
        if too_old:
            gone = Refusal(410, "Expired", f"too old resource version: {since} ({state.floor})")
            return lambda: self.send_stream([{"type": "ERROR", "object": gone.status}])
        state.stats["open"] += 1
        return lambda: self.stream(since, orders)

    def begin_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def line(self, what):
        self.chunk(json.dumps(what).encode() + b"\n")

    def send_stream(self, lines):
        self.begin_stream()
        for what in lines:
            self.line(what)
        self.chunk(b"")

    def stream(self, since, orders):
        try:
            self.begin_stream()
            self.follow(since, orders)
            self.chunk(b"")
        finally:
            with state.changed:
                state.stats["open"] -= 1

    def follow(self, since, orders):
        end = time.monotonic() + int(self.query.get("timeoutSeconds", 300))
        mark = time.monotonic() + state.settings["bookmark_s"]
        while True:
            with state.changed:
                state.changed.wait_for(lambda: state.number > since or len(state.orders) > orders,
                                       max(0, min(end, mark, time.monotonic() + 0.2) - time.monotonic()))
                news = self.news(since)
                since = max(since, state.number)
                told, orders = state.orders[orders:], len(state.orders)
            for what in news:
                self.line(what)
            if self.is_left():
                raise OSError("nobody listens")
            if not all([self.obey(verb, what) for verb, what in told]) or time.monotonic() >= end:
                return
            if time.monotonic() >= mark:
                self.bookmark(since)
            if time.monotonic() >= mark or mark - time.monotonic() > state.settings["bookmark_s"]:
                mark = time.monotonic() + state.settings["bookmark_s"]

    def is_left(self):
        """A client of a stream sends nothing more until it goes."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def news(self, since):
        selector, told = self.query.get("labelSelector"), []
        for number, kind, before, after in reversed(state.log):
            if number <= since:
                break
            was, now = matches(before, self.namespace, selector), matches(after, self.namespace, selector)
            if kind == self.kind and (was or now):
                kind_of_news = "MODIFIED" if was and now else "ADDED" if now else "DELETED"
                told.append({"type": kind_of_news, "object": after if after else before})
        return told[::-1]

    def bookmark_at(self, number):
        return {"type": "BOOKMARK", "object": {"kind": self.kind, "metadata": {"resourceVersion": version(number)}}}

    def bookmark(self, number):
        if self.query.get("allowWatchBookmarks") in ("1", "true"):
            self.line(self.bookmark_at(number))

    def obey(self, verb, what):
        """Does the stream go on?"""
        if verb == "event" and isinstance(what, str):
            self.chunk(what.encode() + b"\n")
        elif verb == "event":
            self.line({"type": "ERROR", "object": Refusal(what, "Expired" if what == 410 else "InternalError",
                                                          "as it was told to fail").status})
        elif what == "abort":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            raise OSError("aborted")
        else:
            return False
        return not (verb == "event" and not isinstance(what, str))

    # -- patches --

    def patch(self):
        state.stats["patches"] += 1
        self.authorize("patch")
        key = (self.namespace, self.name)
        if self.kind != "Service" or not self.name or key not in state.objects["Service"]:
            raise Refusal(404, "NotFound", f'services "{self.name}" not found')
        if self.headers.get("Content-Type") != "application/merge-patch+json":
            raise Refusal(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        change = json.loads(self.body)
        before = state.objects["Service"][key]
        wanted = change.get("metadata", {}).get("resourceVersion")
        if state.take("patch_409") or (wanted and wanted != before["metadata"]["resourceVersion"]):
            raise Refusal(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
        after = copy.deepcopy(before)
        after["status"] = merge(after.get("status", {}), change.get("status", {}))  # of a status nothing else is taken
        if after != before:
            state.store("Service", key, after)
        body = json.dumps(after).encode()
        return lambda: self.send_body(body)


def merge(to, change):
    if not isinstance(change, dict):
        return change
    result = dict(to) if isinstance(to, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


# ---- servers ----


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host, port, handler):
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), handler)

    def handle_error(self, request, client_address):
        pass


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--control", type=int, default=0)
    p.add_argument("--cert")
    p.add_argument("--key")
    p.add_argument("--client-ca")
    args = p.parse_args()
    api, control = Server(args.host, args.port, Api), Server("127.0.0.1", args.control, Control)
    if args.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert, args.key)
        if args.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(args.client_ca)
        api.socket = context.wrap_socket(api.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    print(f"{api.server_address[1]} {control.server_address[1]}", flush=True)
    api.serve_forever()


if __name__ == "__main__":
    main()
