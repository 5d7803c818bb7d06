"""A JupyterHub on this machine: a user logs in, a server starts, and a notebook runs through the hub."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import uuid
from pathlib import Path

import nbformat
import pytest
import requests

from .servers import free_port, running

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_finetune_top.ipynb"
TOKEN = "tests-only-hub-token"
PASSWORD = "tests-only-password"
CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser", "--allow-root"]
c.Spawner.notebook_dir = {folder!r}
c.Spawner.environment = {environment!r}
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "access:servers"]}}
]
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def hub(tmp_path):
    pytest.importorskip("jupyterhub", reason="no JupyterHub: pip install jupyterhub")
    proxy = os.environ.get("HTTP_PROXY_COMMAND") or shutil.which("configurable-http-proxy")
    if proxy is None:
        pytest.skip("no proxy for the hub: npm install -g configurable-http-proxy")
    ports = {name: free_port() for name in ("port", "hub_port", "proxy_port")}
    results = {"OMNILEARN_LAB_RESULTS": str(tmp_path / "results"), "OMP_NUM_THREADS": "1"}
    kept = {name: os.environ[name] for name in ("OMNILEARN_LAB_DATA",) if name in os.environ}
    text = CONFIG.format(
        **ports,
        proxy=proxy,
        password=PASSWORD,
        token=TOKEN,
        python=sys.executable,
        folder=str(tmp_path),
        environment=results | kept,
    )
    (tmp_path / "jupyterhub_config.py").write_text(text)
    command = [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"]
    address = f"http://127.0.0.1:{ports['port']}"
    with running(command, f"{address}/hub/health", log=tmp_path / "hub.log", env={}):
        wait_until(lambda: requests.get(f"{address}/hub/health", timeout=10).ok, "the hub did not start")
        yield address


def wait_until(is_true, message, seconds=120):
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, message
        time.sleep(1)


def ask(method, url, *, expected=(200, 201, 202, 204), **data):
    headers = {"Authorization": f"token {TOKEN}"}
    answer = requests.request(method, url, headers=headers, timeout=60, **data)
    assert answer.status_code in expected, answer.text
    return answer


def start_server(hub, user):
    """Ask the hub for a user's server and wait until it answers."""
    ask("POST", f"{hub}/hub/api/users/{user}")
    ask("POST", f"{hub}/hub/api/users/{user}/server")
    about = f"{hub}/hub/api/users/{user}"
    is_ready = lambda: ask("GET", about).json()["servers"].get("", {}).get("ready")  # noqa: E731
    wait_until(is_ready, "the server did not start")
    return f"{hub}/user/{user}"


def run_cell(socket, code):
    """Execute code in a kernel and return the reply's content."""
    number = uuid.uuid4().hex
    header = {
        "msg_id": number,
        "msg_type": "execute_request",
        "username": "",
        "session": number,
        "version": "5.3",
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "allow_stdin": False,
        "stop_on_error": True,
    }
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    socket.send(json.dumps(message))
    while True:
        received = socket.recv()
        if not isinstance(received, str):
            continue  # a widget's picture
        reply = json.loads(received)
        if reply["header"]["msg_type"] == "execute_reply" and reply["parent_header"]["msg_id"] == number:
            return reply["content"]


def test_the_login_page_takes_the_password(hub):
    session = requests.Session()
    session.get(f"{hub}/hub/login", timeout=60)
    form = {"username": "bob", "password": PASSWORD, "_xsrf": session.cookies.get("_xsrf")}
    answer = session.post(f"{hub}/hub/login", data=form, timeout=60, allow_redirects=False)
    assert answer.status_code == 302
    wrong = session.post(
        f"{hub}/hub/login", data=form | {"password": "no"}, timeout=60, allow_redirects=False
    )
    assert wrong.status_code == 403


def test_a_notebook_runs_through_the_hub(hub, tmp_path):
    websocket = pytest.importorskip("websocket")
    server = start_server(hub, "alice")
    names = ask("GET", f"{server}/api/kernelspecs").json()["kernelspecs"]
    assert "python3" in names
    kernel = ask("POST", f"{server}/api/kernels", json={"name": "python3"}).json()["id"]
    address = f"{server}/api/kernels/{kernel}/channels".replace("http://", "ws://")
    socket = websocket.create_connection(address, timeout=600, header=[f"Authorization: token {TOKEN}"])
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            reply = run_cell(socket, cell.source.replace('profile = "quick"', 'profile = "smoke"'))
            assert reply["status"] == "ok", reply
    socket.close()
    assert (tmp_path / "results" / "03_finetune_top" / "smoke" / "results.json").is_file()
    ask("DELETE", f"{hub}/hub/api/users/alice/server")
