"""The elements of a page."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """A page's tags, ids and what it refers to; all tags are closed."""

    def __init__(self, html):
        super().__init__()
        self.references, self.tags, self.ids, self.open, self.scripts = [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.references += [attributes[k] for k in ("src", "href", "srcset", "action", "data") if attributes.get(k)]
        if tag == "script":
            self.scripts.append(attributes.get("type"))
        if tag == "img":
            assert attributes["alt"]
        if tag not in {"meta", "link", "img", "br", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
