"""Stand-in for the host's server: the table of routes that packs add to, and the queue with what runs."""

from aiohttp import web


class Queue:
    def __init__(self):
        self.currently_running = {}


class PromptServer:
    instance = None

    def __init__(self):
        PromptServer.instance = self
        self.routes = web.RouteTableDef()
        self.prompt_queue = Queue()


PromptServer()
