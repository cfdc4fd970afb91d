#!/usr/bin/env bash
# An edit of one file that the template has removed takes the three-way merge from all other files of a `cruft update`.
#
# With a git repository, cruft applies the template's changes as a three-way merge: where user and template have changed
# one line, the file gets conflict markers, and git lists it as unmerged. When git refuses the merge because the user
# has edited a file that the template removed, cruft applies everything again with `--reject`: a line of another file
# that both have changed goes to a file of rejects, which git shows as untracked. cruft ends 0 in both cases, and says
# that the project is as clean as possible.
#
# Seen with cruft 2.16.0, cookiecutter 2.7.1, git 2.39.5:
#   plain: ends 0, unmerged: settings.txt rejects:
#   edited: ends 0, unmerged: rejects: settings.txt.rej
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check cruft==2.16.0 cookiecutter==2.7.1
export HOME="$folder" GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.invalid
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.invalid

commit() {
    git add --all
    git commit --quiet --message "$1"
}

mkdir -p "$folder/template/{{cookiecutter.name}}"
cd "$folder/template"
git init --quiet
echo '{"name": "project"}' > cookiecutter.json
seq 30 > '{{cookiecutter.name}}/model.txt'
echo 'limit 1' > '{{cookiecutter.name}}/settings.txt'
commit first
for case in plain edited; do
    mkdir "$folder/$case"
    (cd "$folder/$case" && "$folder/venv/bin/cruft" create --no-input "$folder/template" && cd project &&
        git init --quiet && commit made && { [ "$case" = plain ] || sed -i s/15/fifteen/ model.txt; } &&
        echo 'limit 5' > settings.txt && commit mine) > "$folder/log" 2>&1
done
git rm --quiet '{{cookiecutter.name}}/model.txt'
echo 'limit 2' > '{{cookiecutter.name}}/settings.txt'
commit second
seen=$(for case in plain edited; do
    cd "$folder/$case/project"
    code=0
    "$folder/venv/bin/cruft" update --skip-apply-ask > "$folder/log" 2>&1 || code=$?
    echo "$case: ends $code, unmerged: $(git diff --name-only --diff-filter=U | tr '\n' ' ')rejects: $(find . -name '*.rej' -printf '%f ')"
done)
echo "$seen"
[ "$(echo "$seen" | sed 's/ *$//')" = "$(printf '%s\n%s' 'plain: ends 0, unmerged: settings.txt rejects:' \
    'edited: ends 0, unmerged: rejects: settings.txt.rej')" ]
