"""Reads the pages that reports write."""

from html.parser import HTMLParser

VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """A page as its text, its tags and what is left open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes), list(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes), list(self.open)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data.strip())

    @property
    def text(self):
        return "\n".join(word for word in self.words if word)

    def attributes(self, tag):
        return [attributes for name, attributes, _ in self.tags if name == tag]
