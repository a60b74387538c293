"""The console: pages in the browser for reception, clinicians and administrators.

Every page is whole HTML from the server and works without scripts. Where htmx runs, a form takes the part that changed out of the same whole
page, so that there is one way to make each page and none to make a fragment.
"""
