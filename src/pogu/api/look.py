"""Edge: `/pogu/images/tree` and `/pogu/images/diff`: images by their layers, and what differs."""

from __future__ import annotations

import stat

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import json_reply
from pogu.api.route import Route
from pogu.errors import InvalidParameter
from pogu.images.difference import FileChange, config_changes, file_changes, kind_of
from pogu.images.image import Image
from pogu.images.tree import ImageLayer, LayerNode, image_layers, layer_forest, names_of
from pogu.linux.blocking import in_thread
from pogu.storage.merged import Node

__all__ = ["ROUTES"]

Json = dict[str, object]


async def tree(call: Call) -> StreamResponse:
    """With `name`s the layers of each; without, all layers as trees."""
    images, layers = call.engine.images, call.engine.layers
    async with images.hold():
        wanted = [images.resolve(name) for name in call.texts("name")]
        everything = images.all()
        if not wanted:
            forest = layer_forest(everything, layers)
            empty = [_image(one) for one in everything if one.top_layer is None]
            return json_reply({"Layers": [_node(node) for node in forest], "Empty": empty})
        answer = []
        for image in wanted:
            found = await in_thread(image_layers, image, everything, layers)
            answer.append(_image(image) | {"Layers": [_layer(layer) for layer in found]})
    return json_reply(answer)


def _image(image: Image) -> Json:
    return {"Id": image.id, "Names": names_of(image), "Size": image.size_bytes}


def _layer(found: ImageLayer) -> Json:
    return {
        "ChainId": found.layer.chain_id,
        "DiffId": found.layer.diff_id,
        "Size": found.layer.size_bytes,
        "CreatedBy": found.created_by,
        "SharedWith": list(found.shared_with),
        "Hidden": found.hidden_bytes,
    }


def _node(node: LayerNode) -> Json:
    return {
        "ChainId": node.layer.chain_id,
        "Size": node.layer.size_bytes,
        "CreatedBy": node.created_by,
        "Images": [_image(image) for image in node.images],
        "Above": [_node(one) for one in node.above],
    }


async def difference(call: Call) -> StreamResponse:
    """`from` and `to` are images; what differs of their files and their configs."""
    before, after = call.text("from"), call.text("to")
    if not before or not after:
        raise InvalidParameter("from and to: two images are compared")
    images = call.engine.images
    async with images.hold():
        one, other = images.resolve(before), images.resolve(after)
        changes = await in_thread(file_changes, one, other, call.engine.layers)
    return json_reply(
        {
            "From": _image(one),
            "To": _image(other),
            "Files": [_change(change) for change in changes],
            "Config": [
                {"Name": change.name, "From": change.before, "To": change.after}
                for change in config_changes(one, other)
            ],
        }
    )


def _change(change: FileChange) -> Json:
    kind = "changed"
    if change.before is None or change.after is None:
        kind = "added" if change.before is None else "removed"
    return {
        "Path": f"/{change.path}",
        "Change": kind,
        "What": list(change.what),
        "From": _side(change.before),
        "To": _side(change.after),
    }


def _side(node: Node | None) -> Json | None:
    if node is None:
        return None
    return {
        "Kind": kind_of(node),
        "Size": node.info.st_size if node.is_file else 0,
        "Mode": f"{stat.S_IMODE(node.info.st_mode):04o}",
        "Owner": f"{node.info.st_uid}:{node.info.st_gid}",
        "Link": node.link,
    }


ROUTES = [
    Route("GET", "/pogu/images/tree", tree),
    Route("GET", "/pogu/images/diff", difference),
]
