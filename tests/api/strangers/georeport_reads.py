"""Reads an Open311 server with the client of georeport, in both formats: URL, jurisdiction."""

import json
import sys

from georeport import GeoReport

url, jurisdiction = sys.argv[1:]
told = {}
for form in ("json", "xml"):
    client = GeoReport(url, jurisdiction=jurisdiction, output_format=form)
    services = client.get_service_list()
    code = services[0]["service_code"]
    requests = client.get_service_requests(status="open")
    one = requests if isinstance(requests, dict) else requests[0]
    again = client.get_service_request(one["service_request_id"])
    told[form] = {
        "services": sorted(service["service_code"] for service in services),
        "definition": client.get_service_definition(code)["service_code"],
        "request": one["service_request_id"],
        "again": again["service_request_id"],
        "status": again["status"],
        "description": again["description"],
    }
print(json.dumps(told))
