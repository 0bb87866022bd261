# The app's image: web, workers, beat and migrate are the same one with other commands (docker-compose.yml).
FROM python:3.11-slim-bookworm

# What WeasyPrint prints with, and the font of the invoices.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-nanum \
    && rm -rf /var/lib/apt/lists/*

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 JEONGSAN_VAR=/var/lib/jeongsan
WORKDIR /srv/jeongsan

COPY requirements.lock .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps --requirement requirements.lock

COPY . .
# Neither step needs a database or a secret; the values only keep them from being looked for and are not kept.
RUN pybabel compile --directory locale --domain django \
    && DATABASE_URL=postgresql://none@localhost/none DJANGO_SECRET_KEY=build JEONGSAN_PEPPERS=1:build \
        JEONGSAN_UPSTREAM_SECRETS=build python manage.py collectstatic --noinput --verbosity 0 \
    && useradd --system --user-group --no-create-home jeongsan \
    && mkdir --parents /var/spool/jeongsan \
    && chown jeongsan:jeongsan /var/lib/jeongsan /var/spool/jeongsan

USER jeongsan
EXPOSE 8000
CMD ["uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--lifespan", "on"]
